"""Base of the metrics that need the whole matrix of scores."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mlic_mm.utils.targets import target_row

from .collected_scores import CollectedScores, SampleKey, concatenate, merge_processes, name_sample


class ScoreMetric(BaseMetric):
    """Collect scores and targets batch by batch, and compute on all of them at once.

    A sample is a dictionary with ``pred_score`` ``(C,)`` and ``gt_score`` ``(C,)`` (1, 0, −1 = ignored) or ``gt_label``
    (indices of the positives). Its ``sample_idx``, ``img_id`` and ``img_path`` are kept too.

    Args:
        collect_device: How processes exchange results.
        prefix: Text before the names of the metrics, with a ``/`` between. There is none by default, so that
            ``save_best='mAP'`` works.
    """

    default_prefix = ''  # None would log a warning

    def __init__(self, collect_device: Literal['cpu', 'gpu'] = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.results: list[CollectedScores] = []
        self._pending: list[CollectedScores] = []
        self._size = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Copy the scores and targets of a batch.

        Raises:
            ValueError: A sample has no ``pred_score``, or neither ``gt_score`` nor ``gt_label``; samples have different
                lengths; a target is soft, or an index out of range.
        """
        if not data_samples:
            return
        keys = [(s.get('sample_idx'), s.get('img_id'), s.get('img_path')) for s in data_samples]
        try:
            scores = _stack([sample['pred_score'] for sample in data_samples])
            # Tensors are stacked before they are copied from the device: one copy a batch, not one a sample.
            targets = _stack(
                [s['gt_score'] if 'gt_score' in s else _multi_hot(s, scores.shape[-1]) for s in data_samples]
            )
        except KeyError as error:
            raise ValueError(
                f'{name_sample(keys[0], 0)} or one of its batch has no {error}: a multi-label head sets pred_score, '
                'PackInputs packs gt_score or gt_label'
            ) from error
        if scores.shape != targets.shape or scores.ndim != 2:
            raise ValueError(
                f'{name_sample(keys[0], 0)}: pred_score and gt_score must have one number per class each, got '
                f'{tuple(scores.shape[1:])} and {tuple(targets.shape[1:])}'
            )
        self._pending.append(CollectedScores(scores, targets, keys))
        if len(self._pending) == 64 or len(keys) >= 64:  # so that tiny batches cost neither time nor memory
            self._pack()

    def _pack(self) -> None:
        """Join the pending batches to one part, with targets of one byte."""
        given = concatenate(self._pending)
        self._pending.clear()
        if not len(given):
            return
        targets = given.targets.to(torch.int8)
        if not torch.equal(targets.to(given.targets.dtype), given.targets):
            row = int((targets.to(given.targets.dtype) != given.targets).any(-1).nonzero()[0])
            name, values = name_sample(given.keys[row], row), given.targets[row].tolist()
            raise ValueError(f'targets of {name} must be 1, 0 or -1, got {values}')
        self.results.append(CollectedScores(given.scores, targets, given.keys))

    def evaluate(self, size: int) -> dict:
        """Compute on the samples of all processes.

        Args:
            size: Length of the data set.

        Returns:
            The metrics, in every process.
        """
        self._pack()
        # One item for each process, because mmengine cuts the list of items to the number it is given. The function
        # merge_processes drops the samples that samplers repeat.
        self.results = [concatenate(self.results)]
        self._size = size
        return super().evaluate(max(size, get_world_size()))

    def compute_metrics(self, results: list[CollectedScores]) -> dict:
        """Merge the results of the processes and compute. Only the main process does."""
        merged = merge_processes(results, self._size)
        if not len(merged):
            raise ValueError(f'{type(self).__name__} got no sample to evaluate: is the data set empty?')
        classes = (self.dataset_meta or {}).get('classes')
        num_classes = merged.scores.shape[1]
        if classes is not None and len(classes) != num_classes:
            raise ValueError(
                f'the model scores {num_classes} classes, the data set has {len(classes)}: set num_classes'
            )
        return self.compute(merged.scores.numpy(), merged.targets.numpy(), merged.keys, classes)

    @abstractmethod
    def compute(
        self, scores: np.ndarray, targets: np.ndarray, keys: Sequence[SampleKey], classes: Sequence[str] | None
    ) -> dict:
        """Compute from scores and targets ``(N, C)``, the keys of the samples and the names of the classes."""


def _stack(rows: list[Any]) -> Tensor:
    if not isinstance(rows[0], Tensor):
        rows = [torch.as_tensor(row) for row in rows]
    if len({row.shape for row in rows}) > 1:
        raise ValueError(
            f'samples of one batch have different numbers of classes: {sorted({tuple(r.shape) for r in rows})}'
        )
    stacked = torch.stack(rows).detach().cpu()
    return stacked.float() if stacked.dtype in (torch.float16, torch.bfloat16) else stacked


def _multi_hot(sample: dict, num_classes: int) -> Tensor:
    labels = torch.as_tensor(sample['gt_label']).cpu()
    return torch.from_numpy(target_row({'gt_label': labels}, num_classes, str(sample.get('img_path'))))
