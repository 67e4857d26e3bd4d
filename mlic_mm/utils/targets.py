"""Read the labels of samples: the one reader for data sets, metrics, result files and label graphs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .label_names import empty_error

__all__ = ['difficult_labels', 'target_row', 'target_rows']


def target_row(sample: Mapping[str, Any], num_classes: int, name: str = 'the sample') -> np.ndarray:
    """Return the labels of a sample, int8 ``(C,)``: 1 present, 0 absent, −1 ignored.

    They come from ``gt_score`` ``(C,)``, or else from ``gt_label``, the indices of the labels that are present.

    Args:
        sample: What a data set, a ``DataSample`` or a result file says of an image.
        num_classes: C.
        name: What messages call the sample.

    Raises:
        ValueError: The sample has neither, another number of classes, or an index outside 0 … C − 1.

    Example:
        >>> target_row({'gt_label': [2, 0]}, 4)
        array([1, 0, 1, 0], dtype=int8)
    """
    if 'gt_score' in sample:
        row = np.asarray(sample['gt_score'])
        if row.shape != (num_classes,):
            raise ValueError(f'gt_score of {name} has the shape {row.shape}, but there are {num_classes} classes')
        with np.errstate(invalid='ignore'):
            return row.astype(np.int8)
    if 'gt_label' not in sample:
        raise ValueError(f'{name} has neither gt_score nor gt_label: a data set of several labels an image gives one')
    labels = np.asarray(sample['gt_label']).reshape(-1)
    if not all(0 <= label < num_classes and label == int(label) for label in labels.tolist()):
        raise ValueError(f'gt_label {labels.tolist()} of {name} is outside 0 … {num_classes - 1}')
    row = np.zeros(num_classes, np.int8)
    row[labels.astype(np.int64)] = 1
    return row


def target_rows(dataset: Any) -> np.ndarray:
    """Return the labels of all samples of a data set, int8 ``(N, C)`` with 1, 0 and −1.

    Raises:
        ValueError: The data set is empty, or :func:`target_row` refuses a sample.
    """
    num_classes = len(dataset.metainfo['classes'])
    if not len(dataset):
        raise empty_error(dataset)
    infos = map(dataset.get_data_info, range(len(dataset)))
    return np.stack([target_row(info, num_classes, f'sample {i}') for i, info in enumerate(infos)])


def difficult_labels(info: Mapping[str, Any]) -> list[int]:
    """Return the labels of a sample whose objects are all marked difficult, from ``gt_label_difficult``.

    VOC of mmpretrain also lists labels that have other objects, which are left out here.

    Example:
        >>> difficult_labels({'gt_label': [3], 'gt_label_difficult': [3, 5]})
        [5]
    """
    difficult = list(info.get('gt_label_difficult') or ())
    return difficult if 'gt_score' in info else [label for label in difficult if label not in info['gt_label']]
