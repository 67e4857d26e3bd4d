"""Listed images that are not on the disk."""

import os
from collections.abc import Sequence
from typing import Literal

from mmengine.logging import print_log

from .find_images import scan

OnMissing = Literal['raise', 'skip', 'keep']
"""What to do about images that are not there: stop, leave them out, or do not look for them."""


def find_in_folders(root: str, folders: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """Return the path of every image in the folder that holds most of them, None for an image that is not there.

    Args:
        root: Folder to scan, once.
        folders: Folders below ``root``, empty or with ``/`` at the end. If two hold equally many, the first is taken.
        names: Paths with ``/`` below one of ``folders``.
    """
    found = scan(root)
    folder = max(folders, key=lambda folder: sum(folder + name in found for name in names))
    return [os.path.join(root, folder, name) if folder + name in found else None for name in names]


def report_missing(
    root: str, names: Sequence[str], paths: Sequence[str | None], on_missing: OnMissing, layout: str
) -> tuple[str, ...]:
    """Log how many images are missing, and return their names.

    Args:
        root: Folder in which the images were looked for.
        names: All images.
        paths: Their paths, None for a missing image.
        on_missing: ``'skip'`` or ``'raise'``.
        layout: The expected layout, and where to get the data.

    Raises:
        FileNotFoundError: All images are missing, or some are missing under ``'raise'``.
    """
    gone = tuple(name for name, path in zip(names, paths, strict=True) if path is None)
    if len(gone) == len(names):
        raise FileNotFoundError(f'none of the {len(names)} images is below {root}, such as {gone[0]}.\n{layout}')
    if gone and on_missing == 'raise':
        raise FileNotFoundError(
            f'{len(gone)} of {len(names)} images are not below {root}, the first {gone[0]}; get them or set '
            f"on_missing='skip' to leave them out.\n{layout}"
        )
    if gone:
        first = ', '.join(gone[:3])
        message = f'{len(gone)} of {len(names)} images are not below {root} and are left out: {first} …'
        print_log(message, 'current', level=30)
    return gone
