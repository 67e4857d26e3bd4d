"""Read the annotation of PA-100K, as published (``.mat``) or as one table (``.npz``)."""

from typing import Any

import numpy as np

ATTRIBUTES = (
    'Female',
    'AgeOver60',
    'Age18-60',
    'AgeLess18',
    'Front',
    'Side',
    'Back',
    'Hat',
    'Glasses',
    'HandBag',
    'ShoulderBag',
    'Backpack',
    'HoldObjectsInFront',
    'ShortSleeve',
    'LongSleeve',
    'UpperStride',
    'UpperLogo',
    'UpperPlaid',
    'UpperSplice',
    'LowerStripe',
    'LowerPattern',
    'LongCoat',
    'Trousers',
    'Shorts',
    'Skirt&Dress',
    'boots',
)
"""In the order of the published table, in its spelling."""

Splits = dict[str, tuple[list[str], np.ndarray]]
"""File names and labels, bool ``(n, 26)``, of ``train``, ``val`` and ``test``."""

_OFFICIAL = dict(train=(0, 80_000), val=(80_000, 90_000), test=(90_000, 100_000))


def read_mat(path: str) -> Splits:
    """Read ``annotation.mat``: cells ``{split}_images_name`` ``(n, 1)``, ``{split}_label`` ``(n, 26)``, ``attributes``.

    Raises:
        ValueError: The file is no MATLAB file, or a field is missing or invalid. The message names file, field and
            cure.
    """
    from scipy.io import loadmat  # takes a quarter of a second

    try:
        content = loadmat(path, squeeze_me=True)
    except Exception as error:  # damage surfaces as almost any error of SciPy and zlib
        raise ValueError(
            f'{path}: not a MATLAB file that SciPy reads ({type(error).__name__}: {error}); get annotation.mat again, '
            "or, if you save it with MATLAB, use '-v7'"
        ) from None
    _check_attributes(_field(content, 'attributes', path), path)
    splits = {}
    where: dict[str, str] = {}
    for split in ('train', 'val', 'test'):
        field = f'{split}_images_name'
        names = [str(name).strip() for name in np.atleast_1d(_field(content, field, path)).tolist()]
        for row, name in enumerate(names, 1):
            if not name or name in where:
                problem = f'is there already as {where[name]}' if name else 'is blank'
                raise ValueError(f'{path}: {field}({row}) = {name!r} {problem}; get annotation.mat again')
            where[name] = f'{field}({row})'
        table = np.asarray(_field(content, f'{split}_label', path))
        if table.size == len(ATTRIBUTES):
            table = table.reshape(1, -1)  # squeezed
        splits[split] = names, _labels(table, len(names), f'{path}: {split}_label')
    return splits


def read_npz(path: str) -> Splits:
    """Read an npz with ``labels`` ``(100000, 26)`` and ``attributes`` ``(26,)``. Row i is image i, counted from 1.

    Raises:
        ValueError: The file is damaged, or an array is missing or invalid. The message names file, array and cure.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {key: archive[key] for key in archive.files}
    except Exception as error:  # damage surfaces as almost any error of zipfile and NumPy
        raise ValueError(f'{path}: not a whole npz file ({type(error).__name__}: {error}); get it again') from None
    _check_attributes(_field(content, 'attributes', path), path)
    labels = _labels(_field(content, 'labels', path), 100_000, f'{path}: labels')
    names = [f'{number:06d}.jpg' for number in range(1, 100_001)]
    return {split: (names[start:end], labels[start:end]) for split, (start, end) in _OFFICIAL.items()}


def _field(content: dict, key: str, path: str) -> Any:
    if key not in content:
        there = ', '.join(name for name in content if not name.startswith('__'))
        raise ValueError(f'{path}: no {key!r}, only {there or "nothing"}; use the annotation of PA-100K')
    return content[key]


def _check_attributes(names: Any, path: str) -> None:
    """Check that the columns are the known ones, in their order."""
    names = [str(name).strip() for name in np.atleast_1d(names).tolist()]
    if len(names) != len(ATTRIBUTES):
        raise ValueError(f'{path}: {len(names)} attributes, PA-100K has {len(ATTRIBUTES)}; use its annotation')
    for index, (name, known) in enumerate(zip(names, ATTRIBUTES, strict=True)):
        if name != known:
            raise ValueError(
                f'{path}: attributes[{index}] = {name!r} where PA-100K has {known!r}; put the columns in the published '
                "order and choose yours by metainfo['classes']"
            )


def _labels(table: Any, num_images: int, source: str) -> np.ndarray:
    """Return a table of 0 and 1 as bool ``(num_images, 26)``."""
    table = np.asarray(table)
    expected = (num_images, len(ATTRIBUTES))
    if table.shape != expected or table.dtype.kind not in 'buif':
        raise ValueError(f'{source} is {table.dtype} {table.shape}, expected numbers {expected}; get the file again')
    wrong = np.argwhere((table != 0) & (table != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ValueError(
            f'{source}: image {row + 1}, {ATTRIBUTES[column]!r} has {table[row, column]}, expected 0 (absent) or 1 '
            '(present); correct it or get the file again'
        )
    return table.astype(bool)
