"""Names of images that tell them apart."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath


def distinct_ids(ids: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return ids of which none occurs twice.

    An id that stands for several images, such as a file name that occurs in several folders, gives way to their paths.
    What is then still alike, such as an image that a data set lists twice, is numbered: ``'a.jpg'``, ``'a.jpg (2)'``.

    Args:
        ids (Sequence[str]): N names.
        paths (Sequence[str]): N paths, '' where unknown.
    """
    count = Counter(ids)
    if len(count) == len(ids):
        return list(ids)
    names = [path if count[name] > 1 and path else name for name, path in zip(ids, paths, strict=True)]
    taken, times = set(names), Counter[str]()
    for row, name in enumerate(names):
        times[name] += 1
        if times[name] > 1:
            while (numbered := f'{name} ({times[name]})') in taken:
                times[name] += 1
            names[row] = numbered
            taken.add(numbered)
    return names


def different_files(path: str, other: str) -> bool:
    """Whether two paths are files of one name in different folders, so that an id made of the name misleads."""
    one, two = PurePath(path), PurePath(other)
    folders = one.parent.name, two.parent.name
    return one.name == two.name and all(folders) and folders[0] != folders[1]
