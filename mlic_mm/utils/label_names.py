"""Checks of label names."""

import unicodedata
from collections.abc import Sequence

from .choices import did_you_mean

_ZERO_WIDTH = dict.fromkeys((*range(0x200B, 0x2010), 0x2060, 0xFEFF))


def clean_name(name: str) -> str:
    """Return a name in the form NFC of Unicode without invisible characters: names that look equal are equal."""
    return name if name.isascii() else unicodedata.normalize('NFC', name.translate(_ZERO_WIDTH)).strip()


def has_control(name: str) -> bool:
    """Return whether a name has a control character, such as NUL or the end of a line."""
    return not name.isprintable() and any(unicodedata.category(char) == 'Cc' for char in name)


def empty_error(dataset: object) -> ValueError:
    """Return the error of a data set without images."""
    return ValueError(
        f'{type(dataset).__name__} is empty: it has no image; check its annotations and options (indices …)'
    )


def unique_classes(names: object, source: str) -> tuple[str, ...]:
    """Return ``names`` as a tuple of distinct, non-empty strings.

    Args:
        names: The names that the user gave. A bare string is an error.
        source: Where the names come from, for messages.

    Raises:
        TypeError: ``names`` is no sequence of strings.
        ValueError: There is no name, or a name is blank, occurs twice or has control characters.

    Example:
        >>> unique_classes(['cat', 'dog', 'cat'], 'metainfo')
        Traceback (most recent call last):
        ValueError: metainfo: class 'cat' appears twice (index 0 and 2); keep one
    """
    if isinstance(names, str):
        raise TypeError(f'{source}: classes={names!r} is neither a list of names nor a file with one name a line')
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f'{source}: classes must be a sequence of strings, got {names!r}')
    if not names:
        raise ValueError(f'{source}: the list of classes is empty')
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if not name.strip():
            raise ValueError(f'{source}: class {index} is blank; give every class a name')
        if has_control(name):
            raise ValueError(f'{source}: class {index}, {name[:80]!r}, has a control character; remove it')
        plain = clean_name(name)
        if plain in first:
            raise ValueError(f'{source}: class {name!r} appears twice (index {first[plain]} and {index}); keep one')
        first[plain] = index
    return tuple(names)


def select_classes(asked: Sequence[str] | None, known: Sequence[str], source: str) -> tuple[str, ...]:
    """Return the classes to use: all known classes in their order, or those that the user asks for, in that order.

    Args:
        asked: ``metainfo['classes']`` of the user. None stands for all classes.
        known: The labels that the annotations define.
        source: The annotation file or data set that defines ``known``.

    Raises:
        ValueError: A class is unknown, or a name occurs twice.
    """
    known = unique_classes(known, source)
    if asked is None:
        return known
    asked = unique_classes(asked, 'metainfo')
    for index, name in enumerate(asked):
        if name not in known:
            raise ValueError(
                f"metainfo['classes'][{index}] = {name!r} is not a label of {source}{did_you_mean(name, known)}"
            )
    return asked
