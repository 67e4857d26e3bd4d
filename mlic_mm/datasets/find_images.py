"""Find listed photographs of Flickr below a folder. The folder is scanned once."""

import os
import re
from collections.abc import Sequence

_NUMBER = re.compile(r'(?:\d{1,6}_)?(\d{5,})(?=[_.])[^/]*\.(?:jpe?g|png|webp|bmp)', re.IGNORECASE)
"""``0001_2124494179.jpg``, ``2124494179.jpg``, ``2124494179_ab0704971e.jpg``, ``36051_2124494179_ab0704971e_m.jpg``."""


def find_images(root: str, entries: Sequence[str]) -> tuple[list[str | None], int]:
    """Return the path of every entry, None if there is no such image, and how many were found by number only.

    The function looks in this order: for a file of that path below ``root``; for the one file whose path ends in the
    entry; for the first file with Flickr's number in its name, which is the same photograph.

    Args:
        root: Folder to scan. Links to folders are followed.
        entries: Paths with ``/``.

    Raises:
        ValueError: Several files end in an entry, as with two copies of the images.
    """
    found = scan(root)
    if all(entry in found for entry in entries):
        return [os.path.join(root, entry) for entry in entries], 0
    files: dict[str, list[str]] = {}
    for path in sorted(found):
        if number := _number(path):
            files.setdefault(number, []).append(path)
    paths: list[str | None] = []
    by_number = 0
    for entry in entries:
        hits = [entry] if entry in found else files.get(_number(entry), [])
        ends = [path for path in hits if f'/{path}'.endswith(f'/{entry}')]
        if len(ends) > 1:
            raise ValueError(
                f'{root}: both {ends[0]} and {ends[1]} are {entry}; set data_prefix to the folder with the copy to use'
            )
        by_number += bool(hits) and not ends
        paths.append(os.path.join(root, (ends or hits)[0]) if hits else None)
    return paths, by_number


def _number(path: str) -> str:
    match = _NUMBER.fullmatch(path.rsplit('/', 1)[-1])
    return match[1] if match else ''


def scan(root: str) -> set[str]:
    """Return the paths of all files below ``root``, relative to it, with ``/``."""
    found = set()
    stack: list[tuple[str, frozenset]] = [('', frozenset())]
    while stack:
        folder, above = stack.pop()
        state = os.stat(os.path.join(root, folder))
        here = (state.st_dev, state.st_ino)
        if here in above:  # a link to a folder that it lies in
            continue
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if entry.is_dir():
                    stack.append((f'{folder}{entry.name}/', above | {here}))
                else:
                    found.add(folder + entry.name)
    return found
