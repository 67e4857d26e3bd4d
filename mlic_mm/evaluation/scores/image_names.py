"""Names that tell images apart."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath


def distinct_ids(ids: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return ids so that none occurs twice.

    If several images have the same id, such as a file name in several folders, their paths replace it. What is then
    still the same, such as an image that a data set lists twice, gets a number: ``'a.jpg'``, ``'a.jpg (2)'``.

    Args:
        ids: N names.
        paths: N paths, '' for an unknown one.

    Example:
        >>> distinct_ids(['1', '1', '2', '2'], ['cat/1.jpg', 'dog/1.jpg', '', ''])
        ['cat/1.jpg', 'dog/1.jpg', '2', '2 (2)']
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
    """Return whether two paths are files of one name in different folders, so that the name misleads as an id."""
    one, two = PurePath(path), PurePath(other)
    folders = one.parent.name, two.parent.name
    return one.name == two.name and all(folders) and folders[0] != folders[1]
