"""What all pages share: templates, and an atomic write."""

import re
from pathlib import Path
from typing import Any

import jinja2

from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.plain_text import plain_text

_CONTROL = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')
TEMPLATES = Path(__file__).parent / 'templates'


def template_environment(**options: Any) -> jinja2.Environment:
    """Return the environment of the templates. It escapes everything, and unknown names are errors."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def write_text(path: Path, text: str) -> None:
    """Write a file. The write is atomic; an older file is replaced, and the folder is made.

    Control characters are written as escapes: names from files may hold them, and HTML may not.
    """
    text = _CONTROL.sub(lambda match: plain_text(match[0]), text)
    with atomic_write(path) as part:
        part.write_text(text, encoding='utf-8', errors='replace')  # names from files may hold half of a character
