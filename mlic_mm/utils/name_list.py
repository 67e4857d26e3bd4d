"""Lists of names in files of a user's: one name a line, or JSON."""

from pathlib import Path

from .json_file import read_json
from .utf8 import decode_utf8

__all__ = ['read_names']


def read_names(path: str | Path) -> tuple[str, ...]:
    """Read a list of names: a JSON list if the name of the file ends in .json, else one name a line.

    Empty lines, and spaces around a name, are left out.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8, or no JSON, or the JSON is no list of texts.
    """
    path = Path(path)
    names = read_json(str(path)) if path.suffix == '.json' else decode_utf8(path.read_bytes(), path).splitlines()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} must be a JSON list of names')
    return tuple(name.strip() for name in names if name.strip())
