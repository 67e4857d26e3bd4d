"""Area under the ROC curve: the share of pairs of a positive and a negative in which the positive scores higher."""

from typing import Any

import numpy as np

from .matrices import ClassMajor, as_matrices

_MOST_BITS = 20  # a table of a few MB, in which few negatives share a bin with a positive


def auroc(scores: Any, targets: Any) -> np.ndarray:
    """Area under the ROC curve of every class; equal scores count half, targets −1 are left out.

    Args:
        scores (Tensor | ndarray): ``(N, C)``.
        targets (Tensor | ndarray): ``(N, C)`` of 1, 0, −1.

    Returns:
        ndarray: ``(C,)`` float64 in [0, 1], NaN for a class without positives or without negatives.

    Raises:
        ValueError: See :func:`as_matrices`.
    """
    data = ClassMajor.from_matrices(*as_matrices(scores, targets))
    return np.array([class_auroc(*data.sorted_class(index)) for index in range(len(data.scores))])


def class_auroc(every: np.ndarray, positives: np.ndarray) -> float:
    """Area of one class from ascending scores of all samples ``(n,)`` and of the positives ``(p,)``."""
    # Twice the samples below each positive, with half of its equals: a sum of integers, so nothing is rounded.
    below = np.searchsorted(every, positives).sum() + np.searchsorted(every, positives, side='right').sum()
    return _area(int(below) - len(positives) ** 2, len(positives), len(every) - len(positives))


class PooledAuroc:
    """Area of the decisions of all classes together ("micro"), fed class by class.

    Sorting all scores would take longer than all other figures. Instead every score is looked up in a table over the
    leading bits of floating-point numbers, which are in order; only where a bin holds a positive it is searched for.

    Args:
        data (ClassMajor): All classes.
    """

    def __init__(self, data: ClassMajor) -> None:
        positives = np.sort(data.scores[data.positive])
        # The different scores of positives, and the positives below each of them, below all in the end.
        first = np.flatnonzero(np.append(True, positives[1:] != positives[:-1])[: len(positives)])
        self._values, self._starts = positives[first], np.append(first, len(positives))
        self._positives = len(positives)
        self._doubled, self._samples = 0, 0  # twice the positives below each sample, with half of its equals
        self._has_table = data.scores.dtype == np.float32
        if not self._has_table:
            return
        low, high = (int(_ordered(end)) for end in (data.scores.min(), data.scores.max()))
        bits = min(_MOST_BITS, data.scores.size.bit_length())
        self._shift = max(0, (high - low).bit_length() - bits)
        self._low = low >> self._shift
        inside = np.bincount(self._bins(positives), minlength=(high >> self._shift) - self._low + 1)
        # Positives below each bin, −1 where it holds one.
        self._below = np.where(inside == 0, np.cumsum(inside), -1).astype(np.int32)

    def _bins(self, scores: np.ndarray) -> np.ndarray:
        bins = _ordered(scores) >> self._shift
        bins -= self._low
        return bins

    def add(self, every: np.ndarray) -> None:
        """Take the known scores of a class ``(n,)``, in ascending order."""
        self._samples += len(every)
        if self._has_table:
            below = self._below.take(self._bins(every))
            searched = below < 0
            every = every[searched]
            self._doubled += 2 * (int(below.sum(dtype=np.int64)) + len(every))
        if len(self._values):
            place = np.searchsorted(self._values, every)
            equal = self._values.take(place, mode='clip') == every
            self._doubled += int((self._starts.take(place) + self._starts.take(place + equal)).sum())

    def area(self) -> float:
        """Return the area, NaN without positives or negatives."""
        positives = self._positives
        negatives = self._samples - positives
        # Of a positive and a negative one is below the other, or both are half: what is left is above.
        return _area(2 * positives * negatives - (self._doubled - positives**2), positives, negatives)


def _area(doubled: int, positives: int, negatives: int) -> float:
    return doubled / (2 * positives * negatives) if positives and negatives else float('nan')


def _ordered(scores: np.ndarray) -> np.ndarray:
    """Integers in the order of float32 scores: their bits, the negatives' flipped. Adding 0 turns −0 into 0."""
    bits = (scores + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return bits
