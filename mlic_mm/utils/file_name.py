"""Checks on the names of files."""

from collections.abc import Collection
from pathlib import Path

__all__ = ['check_ending']


def check_ending(name: str, path: str | Path, endings: Collection[str]) -> None:
    """Refuse a file whose name ends otherwise than it must. Capitals make no difference.

    Raises:
        ValueError: ``name=path must end in …``.

    Example:
        >>> check_ending('plot', 'gain.SVG', ('.svg', '.png'))
        >>> check_ending('plot', 'gain.gif', ('.svg', '.png'))
        Traceback (most recent call last):
        ValueError: plot=gain.gif must end in .svg, .png
    """
    if Path(path).suffix.lower() not in endings:
        raise ValueError(f'{name}={path} must end in {", ".join(endings)}')
