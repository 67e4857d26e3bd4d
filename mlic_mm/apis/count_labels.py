"""Count the labels of a training set without decoding an image."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.registry import DATASETS
from mlic_mm.utils.checks import check_same_classes
from mlic_mm.utils.targets import difficult_labels, target_row

__all__ = ['count_labels']


def count_labels(cfg: Config, threshold: float, count_difficult: bool = False) -> tuple[LabelGraphData, str]:
    """Count the labels of the training data set of a config. A sample that a wrapper repeats counts once.

    Args:
        cfg: A config with a ``train_dataloader``.
        threshold: Of the edges, see :class:`LabelGraphData`.
        count_difficult: Whether labels that an image has only as difficult objects count. This does not affect the
            training.

    Returns:
        The graph, and a line that says what was counted.

    Raises:
        ValueError: The data set cannot be read, is empty, or names no classes; or the parts of a concatenated data set
            have different classes.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    try:
        leaves = list(_unwrapped(DATASETS.build(_without_pipelines(deepcopy(cfg.train_dataloader.dataset)))))
    except ValueError as error:
        raise ValueError(f'the training data set of {cfg.filename} cannot be read: {error}') from error
    classes = tuple(leaves[0].metainfo.get('classes') or ())
    if not classes:
        raise ValueError(f'{cfg.filename}: {type(leaves[0]).__name__} has no class names in its metainfo')
    for leaf in leaves[1:]:
        other = leaf.metainfo.get('classes') or ()
        check_same_classes(classes, other, 'the first data set of the config', f'another {type(leaf).__name__} in it')
    tally: Counter[str] = Counter()
    parts = [part for leaf in leaves for part in _sparse_targets(leaf, len(classes), count_difficult, tally)]
    if not parts:
        raise ValueError(f'{cfg.filename}: the training data set is empty')
    graph = LabelGraphData.from_targets(sp.vstack(parts, format='csr'), classes, threshold)
    difficult = f'{tally["difficult"]} difficult'
    what = f'counted: {graph.counts.sum()} labels' + (f', {difficult} ones among them' if count_difficult else '')
    return graph, f'{what}; left out: {"" if count_difficult else difficult + ", "}{tally["ignored"]} ignored (-1)'


def _without_pipelines(dataset: Any) -> Any:
    """Empty each pipeline of a data set's config, also in wrapped data sets: only labels are read."""
    if isinstance(dataset, dict):
        for key, value in dataset.items():
            dataset[key] = [] if key == 'pipeline' else _without_pipelines(value)
    elif isinstance(dataset, list | tuple):
        return [_without_pipelines(value) for value in dataset]
    return dataset


def _unwrapped(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside concatenating, repeating, balancing and folding wrappers."""
    dataset.full_init()  # a fold is chosen here
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _unwrapped(part)
    elif hasattr(dataset, 'dataset'):
        yield from _unwrapped(dataset.dataset)
    else:
        yield dataset


def _sparse_targets(
    dataset: Any, num_classes: int, count_difficult: bool, tally: Counter[str]
) -> Iterator[sp.csr_array]:
    """Yield targets ``(n, C)`` with 1, 0, −1, in parts that are small enough to be dense for a moment.

    Difficult labels become 1 or −1, as ``count_difficult`` says. ``tally`` counts them and the other −1.
    """
    name = f'a sample of {type(dataset).__name__}'
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    while part := list(islice(infos, max(1, 2**22 // num_classes))):
        dense = np.zeros((len(part), num_classes), dtype=np.float32)
        for row, info in zip(dense, part, strict=True):
            row[:] = target_row(info, num_classes, name)
            difficult = difficult_labels(info)
            row[difficult] = 1 if count_difficult else -1
            tally['difficult'] += len(difficult)
            tally['ignored'] += int((row == -1).sum()) - (0 if count_difficult else len(difficult))
        yield sp.csr_array(dense)
