"""Checked inputs of the evaluation, in a layout with one row for each class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_BLOCK = 1024  # rows transposed at a time: small enough to stay in cache, three times faster than one big transposition


def as_matrices(scores: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Check scores and targets and return them as arrays. They are not copied if their type allows it.

    Args:
        scores: Scores or logits ``(N, C)``, a tensor or array of any type without NaN.
        targets: Tensor or array ``(N, C)``: 1 present, 0 absent, −1 ignored.

    Returns:
        Scores ``(N, C)``, float32 or float64, and targets ``(N, C)`` in their type.

    Raises:
        TypeError: An input holds no numbers.
        ValueError: A shape is wrong, N or C is 0, a score is NaN, or a target is outside {−1, 0, 1}. The message says
            which and where.
    """
    scores, targets = as_array(scores, 'scores'), as_array(targets, 'targets')
    for name, matrix in (('scores', scores), ('targets', targets)):
        if matrix.ndim != 2:
            raise ValueError(
                f'{name} must have shape (N, C), one row per image and one column per class: got {matrix.shape}'
            )
    if scores.shape != targets.shape:
        raise ValueError(f'scores {scores.shape} and targets {targets.shape} must have the same shape (N, C)')
    if scores.shape[0] == 0:
        raise ValueError(f'nothing to evaluate: scores and targets have N = 0 images (shape {scores.shape})')
    if scores.shape[1] == 0:
        raise ValueError(f'nothing to evaluate: scores and targets have C = 0 classes (shape {scores.shape})')
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64 if scores.dtype.kind in 'iu' else np.float32)
    if np.isnan(scores.max()):
        _refuse('scores', scores, np.isnan(scores), 'NaN: did the training diverge?')
    wrong = targets != 0
    wrong &= targets != 1
    wrong &= targets != -1
    if wrong.any():
        _refuse('targets', targets, wrong, 'must be 1 (present), 0 (absent) or -1 (ignored)')
    return scores, targets


@dataclass(frozen=True)
class ClassMajor:
    """Scores and targets with one contiguous row for each class.

    Attributes:
        scores: ``(C, N)``, a copy.
        positive: bool ``(C, N)``: the target is 1.
        ignored: bool ``(C, N)``: the target is −1. None if no target is −1.
    """

    scores: np.ndarray
    positive: np.ndarray
    ignored: np.ndarray | None

    @classmethod
    def from_matrices(cls, scores: np.ndarray, targets: np.ndarray) -> 'ClassMajor':
        """Transpose checked ``(N, C)`` matrices, which do not change."""
        shape = scores.shape[::-1]
        turned, positive = np.empty(shape, scores.dtype), np.empty(shape, bool)
        ignored = np.empty(shape, bool) if targets.min() < 0 else None
        for start in range(0, len(scores), _BLOCK):
            rows = slice(start, start + _BLOCK)
            turned[:, rows] = scores[rows].T
            positive[:, rows] = (targets[rows] == 1).T
            if ignored is not None:
                ignored[:, rows] = (targets[rows] == -1).T
        return cls(turned, positive, ignored)

    def sorted_class(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the known scores of a class in ascending order: all ``(n,)``, and those of its positives ``(p,)``."""
        scores = self.scores[index]
        every = scores if self.ignored is None else scores[~self.ignored[index]]
        return np.sort(every), np.sort(scores[self.positive[index]])


def as_array(values: Any, name: str) -> np.ndarray:
    """Return the numbers of a tensor or array as an array. Types that NumPy lacks, such as bfloat16, become float32.

    Raises:
        TypeError: The values are no numbers.
    """
    if isinstance(values, (list, tuple)) and values and all(isinstance(row, torch.Tensor) for row in values):
        values = torch.stack(tuple(values))
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().to_dense()
        if values.is_floating_point() and values.dtype != torch.float64:
            values = values.float()
    array = np.asarray(values)
    if array.dtype.name == 'bfloat16':  # of the package ml_dtypes
        array = array.astype(np.float32)
    if array.dtype.kind not in 'fiub':
        raise TypeError(
            f'{name} must be numbers in a tensor or array (N, C), got {type(values).__name__} of {array.dtype}'
        )
    return array


def _refuse(name: str, values: np.ndarray, wrong: np.ndarray, why: str) -> None:
    row, column = np.argwhere(wrong)[0]
    raise ValueError(f'{name}[{row}, {column}] is {values[row, column]} ({wrong.sum()} such values): {why}')
