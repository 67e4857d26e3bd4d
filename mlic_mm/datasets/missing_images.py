"""What becomes of listed images that are not on the disk."""

import os
from collections.abc import Sequence

from mmengine.logging import print_log

from .find_images import scan


def check_on_missing(owner: str, on_missing: str) -> None:
    """Check the option.

    Raises:
        ValueError: ``on_missing`` is none of ``'raise'``, ``'skip'`` and ``'keep'``.
    """
    if on_missing not in ('raise', 'skip', 'keep'):
        raise ValueError(f"{owner}: on_missing={on_missing!r} must be 'raise', 'skip' or 'keep'")


def find_in_folders(root: str, folders: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """Return the path of every name, None where there is none, in the one of ``folders`` that holds most of them.

    Args:
        root (str): Folder to scan, once.
        folders (Sequence[str]): Below ``root``, with ``/`` at the end or empty; of equal ones the first is taken.
        names (Sequence[str]): Paths with ``/`` below one of ``folders``.
    """
    found = scan(root)
    folder = max(folders, key=lambda folder: sum(folder + name in found for name in names))
    return [os.path.join(root, folder, name) if folder + name in found else None for name in names]


def report_missing(
    owner: str, root: str, names: Sequence[str], paths: Sequence[str | None], on_missing: str, layout: str
) -> tuple[str, ...]:
    """Return the names without a path, after saying how many they are.

    Args:
        owner (str): Name of the data set, for the message.
        root (str): Where the images were looked for.
        names (Sequence[str]): All images.
        paths (Sequence[str | None]): Where they are; None for those that are not there.
        on_missing (str): ``'skip'`` or ``'raise'``.
        layout (str): What is expected, and where to get it.

    Raises:
        FileNotFoundError: All images are missing, or some are under ``'raise'``.
    """
    gone = tuple(name for name, path in zip(names, paths, strict=True) if path is None)
    if len(gone) == len(names):
        raise FileNotFoundError(f'{owner}: none of the {len(names)} images is below {root}, not {gone[0]}.\n{layout}')
    if gone and on_missing == 'raise':
        raise FileNotFoundError(
            f'{owner}: {len(gone)} of {len(names)} images are not below {root}, the first {gone[0]}; get them or '
            f"set on_missing='skip' to leave them out.\n{layout}"
        )
    if gone:
        first = ', '.join(gone[:3])
        message = f'{owner}: {len(gone)} of {len(names)} images are not below {root} and are left out: {first} …'
        print_log(message, 'current', level=30)
    return gone
