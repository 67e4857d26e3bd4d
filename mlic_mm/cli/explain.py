"""Explain in one line what went wrong: the part of the config that could not be built, and what was meant."""

import contextlib
import inspect
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from mmengine.registry import Registry

from mlic_mm.utils.choices import did_you_mean
from mlic_mm.utils.plain_text import plain_text

__all__ = ['explain', 'unknown_type']

LONGEST = 1500
OWN = f'{Path(__file__).resolve().parents[1]}{os.sep}'
"""How the paths of our own code begin."""
# Whose message says what is wrong, without the name of the exception and the line of the code.
PLAIN = (ValueError, TypeError, KeyError, OSError, ImportError, FloatingPointError, SyntaxError, AssertionError)

OPTION = re.compile(r'[\w.\[\]]+=')
"""How a message about an option of a part begins, which does not name the part."""

CURES = {
    'Expected more than 1 value per channel': 'a batch has one image; set train_dataloader.drop_last=True',
    'environment variable RANK expected': '--launcher pytorch is for tools/dist_train.sh and tools/dist_test.sh',
}
"""What to do about messages of other packages."""


def explain(error: BaseException) -> str:
    """Return one line about what went wrong, with the nearest names if a name is unknown."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:  # of a loader's worker: the worker's own message is the last line
        text = text.strip().splitlines()[-1]
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f'{error.filename}: {error.strerror}'
    elif isinstance(error, MemoryError):
        text = f'out of memory; take smaller batches or images {text}'
    else:
        text = _of_a_part(error, text)
    text = re.sub(r' in <[\w.]*?(\w+) object at 0x[0-9a-f]+>', r' (\1)', text)  # mmengine names a hook so
    text += next((f': {cure}' for sign, cure in CURES.items() if sign in text), '')
    line = plain_text('; '.join(part.strip() for part in text.splitlines() if part.strip()))
    return line if len(line) <= LONGEST else f'{line[: LONGEST - 2]} …'


def _of_a_part(error: BaseException, text: str) -> str:
    """Name the part of the config that could not be built, and what was meant by an unknown type or argument."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    builders = [frame for frame in frames if frame.f_code.co_name == 'build_from_cfg' and 'registry' in frame.f_locals]
    place = builders[-1].f_locals if builders else {}
    registry, kind, built = place.get('registry'), place.get('obj_type'), place.get('obj_cls')
    if isinstance(registry, Registry) and isinstance(error, KeyError) and isinstance(kind, str) and built is None:
        return unknown_type(kind, registry)
    if 'must contain the key "type"' in text and isinstance(place.get('cfg'), dict):
        return f'a part of the config has no `type`: dict({", ".join(f"{key}=…" for key in place["cfg"])})'
    if isinstance(error, TypeError) and 'unexpected keyword argument' in text and callable(built):
        wrong = text.rpartition('argument ')[2].strip("'")
        with contextlib.suppress(TypeError, ValueError):
            known = [name for name in inspect.signature(built).parameters if name not in ('self', 'args', 'kwargs')]
            meant = did_you_mean(wrong, known, 1)
            return f'{built.__name__} has no argument {wrong!r}{meant}'
    if isinstance(error, KeyError) and ' ' not in text:
        text = f'no key {text!r} in the config or the data{_place(error)}'
    elif not isinstance(error, PLAIN) or not text:
        text = f'{type(error).__name__}: {text}' if text else type(error).__name__
        text += _place(error)
    name = getattr(built, '__name__', None)
    # Errors of our own name what they are about; those of other packages often not.
    own = bool(frames) and frames[-1].f_code.co_filename.startswith(OWN)
    if name and name in text:
        return text
    if own:
        return f'{name}: {text}' if name and not name.endswith('Runner') and OPTION.match(text) else text
    if name and not name.endswith('Runner'):
        return f'{name} cannot be built: {text}'
    return text if isinstance(error, OSError) or 'line ' in text else text + _place(error)


def unknown_type(kind: str, registry: Registry) -> str:
    """Return the message about a name that a registry does not know, with the names that may be meant."""
    names = [name for name in dict.fromkeys(_names(registry)) if name != kind]
    meant = did_you_mean(kind, names, listed=0) or '; check its spelling and custom_imports'
    return f'type={kind!r}: there is no such {registry.name}{meant}'


def _names(registry: Registry) -> Iterator[str]:
    """Yield all names that a registry finds, as a config writes them."""
    top: Registry = registry
    while top.parent is not None:
        top = top.parent
    for part in (registry, top, *top.children.values()):
        for name in part.module_dict:
            yield name
            yield f'{part.scope}.{name}'


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f' ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}; --debug shows more)' if frames else ''
