"""Read the results of mmengine's ``DumpResults`` (mmpretrain's ``tools/test.py --out``) as a score dump."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlic_mm.safe_load.safe_pickle import load_pickle
from mlic_mm.utils.plain_text import plain_text
from mlic_mm.utils.targets import target_row

from .npz_reader import check_memory
from .score_dump import ScoreDump


def read_result_pickle(path: str | Path, classes: Sequence[str]) -> ScoreDump:
    """Read a list of samples with ``pred_score`` and ``gt_score`` or ``gt_label``. No code of the file is executed.

    Such a file holds no class names. Images get the names that :class:`mlic_mm.DumpScores` gives them: ``img_id``, or
    else path or index, and the path if an id occurs twice.

    Args:
        path: A ``.pkl`` or ``.pickle`` file.
        classes: Names in the order of the outputs of the model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The content is of another kind, the number of classes differs, or there are more scores than a file
            of its size can hold.
    """
    samples = load_pickle(path)
    if not isinstance(samples, list) or not samples or not all(isinstance(sample, dict) for sample in samples):
        raise ValueError(f'{path} is no list of samples: give what tools/test.py --out or DumpResults wrote')
    keys = ('img_id', 'img_path', 'sample_idx')
    for position, sample in enumerate(samples):
        for key in keys:
            if not isinstance(sample.get(key), str | int | float | None):
                raise ValueError(f'{key} of image {position} of {path} is a {type(sample[key]).__name__}, not a name')
    ids = [
        str(next((sample[key] for key in keys if sample.get(key) is not None), position))
        for position, sample in enumerate(samples)
    ]
    paths = [str(sample.get('img_path') or '') for sample in samples]
    text = max(map(len, ids)) + max(map(len, paths))
    try:  # a pickle may repeat one row or text without end, and the names of classes come from elsewhere
        check_memory(len(samples) * (5 * len(classes) + 4 * text), path)
    except ValueError as error:
        raise ValueError(f'{path}: {error}; is it from a stranger?') from error
    scores = np.empty((len(samples), len(classes)), np.float32)
    targets = np.zeros(scores.shape, np.int8)
    for row, sample in enumerate(samples):
        where = f'image {plain_text(ids[row])} of {path}'
        scores[row] = _numbers(sample, 'pred_score', len(classes), where)
        key = 'gt_score' if 'gt_score' in sample else 'gt_label'
        given = _numbers(sample, key, len(classes) if key == 'gt_score' else None, where)
        targets[row] = target_row({key: given}, len(classes), where)
        if key == 'gt_score' and not np.array_equal(targets[row], given):  # target_row rounds soft targets to 0
            raise ValueError(f'gt_score of {where} must be 1, 0 or -1, got {given.tolist()}')
    return ScoreDump(scores, targets, np.array(ids), np.array(paths), tuple(classes)).with_distinct_ids()


def _numbers(sample: dict, key: str, size: int | None, where: str) -> np.ndarray:
    values: Any = sample.get(key)
    if values is None:
        cure = 'a multi-label head sets pred_score, PackInputs packs gt_score or gt_label'
        raise ValueError(f'{where} has no {key}: {cure}')
    if not isinstance(values, np.ndarray | list | tuple | int | float):
        raise ValueError(f'{key} of {where} is no row of numbers, but a {type(values).__name__}')
    if isinstance(values, list | tuple) and not all(isinstance(value, int | float) for value in values):
        raise ValueError(f'{key} of {where} is no row of numbers')
    values = np.atleast_1d(np.asarray(values))
    if values.ndim != 1 or values.dtype.kind not in 'fiub':
        raise ValueError(f'{key} of {where} is no row of numbers, but {values.dtype} of shape {values.shape}')
    if size is not None and len(values) != size:
        raise ValueError(f'{key} of {where} has {len(values)} numbers, and there are {size} class names')
    return values
