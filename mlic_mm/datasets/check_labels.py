"""Check before the first epoch that a data set can be learned from or measured on."""

from typing import Any

import numpy as np

from mlic_mm.utils.label_names import empty_error
from mlic_mm.utils.targets import target_row


def check_training_labels(dataset: Any) -> None:
    """Check the labels of a training set.

    The check stops at the first image after which nothing can be wrong. With real data it is one of the first hundred.

    Args:
        dataset: A data set, or a wrapper of one, with ``metainfo['classes']`` and ``get_data_info``. Other objects are
            not checked.

    Raises:
        ValueError: There is no image; no image has a label; or a label is −1 (ignored) somewhere and 0 (absent)
            nowhere. Without a known negative a model learns to answer "present" always. The last case is no error if
            the data set has ``minus_one='ignored'``.
    """
    _check(dataset, 'training', every_label=True)


def check_validation_labels(dataset: Any) -> None:
    """Check the labels of a validation set.

    Raises:
        ValueError: There is no image; no image has a label, so that there is no average precision and no best epoch; or
            all labels are 1 or −1 (ignored), so that every model would have a perfect score.
    """
    _check(dataset, 'validation', every_label=False)


def _check(dataset: Any, kind: str, every_label: bool) -> None:
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not classes or not hasattr(dataset, 'get_data_info'):
        return
    if not len(dataset):
        raise empty_error(dataset)
    seen = dict.fromkeys((1, 0, -1), np.zeros(len(classes), bool))
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if 'gt_score' not in info and not isinstance(info.get('gt_label'), (list, tuple, np.ndarray)):
            return  # a data set of another kind: boxes, or one label an image
        row = target_row(info, len(classes))
        seen = {value: found | (row == value) for value, found in seen.items()}
        if seen[1].any() and (seen[0].all() if every_label else seen[0].any()):
            return
    source = f'{kind} data set {type(dataset).__name__}'
    if not seen[1].any():
        cure = 'give it labels'
        if kind == 'validation':
            cure += ', or train without validation: val_dataloader=None, val_cfg=None, val_evaluator=None'
        raise ValueError(f'{source}: none of the {len(dataset)} images has a label (all are 0 or -1); {cure}')
    wrong = seen[-1] & ~seen[0]
    if not wrong.any() or _says_ignored(dataset):
        return
    name = classes[int(np.flatnonzero(wrong)[0])]
    raise ValueError(
        f'{source}: label {name!r} is -1 (ignored) or 1 (present) in all {len(dataset)} images and never 0 (absent): '
        'a model cannot learn when it is absent; write 0 if -1 means absent (CSVMultiLabel: '
        "minus_one='absent'), or leave the label out of metainfo['classes']"
    )


def _says_ignored(dataset: Any) -> bool:
    """Return whether a data set, or one inside a wrapper, was told what −1 means."""
    inner = [*getattr(dataset, 'datasets', ()), *([dataset.dataset] if hasattr(dataset, 'dataset') else [])]
    return getattr(dataset, 'minus_one', None) == 'ignored' or any(map(_says_ignored, inner))
