"""Checks of options, with one form of message: ``name=value must …``."""

import difflib
import math
import numbers
from collections.abc import Collection, Iterable
from typing import Any

__all__ = ['check_choice', 'check_range', 'did_you_mean']

LISTED = 20


def did_you_mean(name: str, known: Iterable[str], most: int = 3, *, listed: int = LISTED) -> str:
    """Return the end of a message about an unknown name: the nearest known names, or a list of what is known.

    Args:
        name: The unknown name.
        known: The known names. Capitals make no difference.
        most: How many names to suggest.
        listed: How many names to list if none is near. With 0 the text is empty then.

    Example:
        >>> did_you_mean('Rotate', ['rotate90', 'flip'])
        "; did you mean 'rotate90'?"
        >>> did_you_mean('zoom', ['rotate90', 'flip'])
        '; choose from rotate90, flip'
    """
    known = list(known)
    lower = {other.lower(): other for other in reversed(known)}
    near = [lower[found] for found in difflib.get_close_matches(name.lower(), lower, most, 0.6)]
    if near:
        return f'; did you mean {" or ".join(map(repr, near))}?'
    if not listed or not known:
        return ''
    more = f' and {len(known) - listed} more' if len(known) > listed else ''
    return f'; choose from {", ".join(known[:listed])}{more}'


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ValueError: ``name=value must be one of …``.

    Example:
        >>> check_choice('fusion', 'meen', ('mean', 'max'))
        Traceback (most recent call last):
        ValueError: fusion='meen' must be one of mean, max; did you mean 'mean'?
    """
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return
    names = [str(choice) for choice in choices]
    meant = did_you_mean(value, names, 1, listed=0) if isinstance(value, str) else ''
    raise ValueError(f'{name}={value!r} must be one of {", ".join(names)}{meant}')


def check_range(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Refuse a value that is no finite number, or lies outside a range.

    Args:
        name: Name of the option.
        value: A number. ``True`` and ``False`` are none.
        at_least: The smallest allowed value.
        above: All allowed values are larger.
        at_most: The largest allowed value.
        below: All allowed values are smaller.
        whole: Whether the value must be an integer.

    Raises:
        TypeError: The value is no number, or no integer where one is needed.
        ValueError: The value lies outside the range, or is NaN or infinite.

    Example:
        >>> check_range('threshold', 2, above=0, at_most=1)
        Traceback (most recent call last):
        ValueError: threshold=2 must be a number above 0 and at most 1
    """
    is_number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
    if (
        is_number
        and math.isfinite(value)
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    ):
        return
    limits = {'at least': at_least, 'above': above, 'at most': at_most, 'below': below}
    text = ' and '.join(f'{words} {limit:.12g}' for words, limit in limits.items() if limit is not None)
    noun = 'a whole number' if whole else 'a number'
    error = ValueError if is_number else TypeError
    raise error(f'{name}={value!r} must be {noun}{" " if text else ""}{text}')
