"""Area under the ROC curve: the share of pairs of a positive and a negative in which the positive scores higher."""

from typing import Any

import numpy as np

from .matrices import ClassMajor, as_matrices

_MOST_BITS = 20  # a table of a few MB, in which few negatives share a bin with a positive


def auroc(scores: Any, targets: Any) -> np.ndarray:
    """Return the area under the ROC curve of every class. Equal scores count half, and targets −1 are left out.

    Args:
        scores: Tensor or array ``(N, C)``.
        targets: Tensor or array ``(N, C)`` of 1, 0, −1.

    Returns:
        float64 ``(C,)`` in [0, 1], NaN for a class without positives or without negatives.

    Raises:
        ValueError: :func:`as_matrices` refuses the inputs.

    Example:
        >>> auroc(np.array([[0.9], [0.6], [0.6], [0.1]]), np.array([[1], [1], [0], [0]])).tolist()
        [0.875]
    """
    data = ClassMajor.from_matrices(*as_matrices(scores, targets))
    return np.array([class_auroc(*data.sorted_class(index)) for index in range(len(data.scores))])


def class_auroc(every: np.ndarray, positives: np.ndarray) -> float:
    """Return the area of one class from ascending scores of all samples ``(n,)`` and of the positives ``(p,)``."""
    # Twice the samples below each positive, with half of its equals: a sum of integers, so nothing is rounded.
    below = np.searchsorted(every, positives).sum() + np.searchsorted(every, positives, side='right').sum()
    return _area(int(below) - len(positives) ** 2, len(positives), len(every) - len(positives))


class PooledAuroc:
    """Area of the decisions of all classes together ("micro"), computed class by class.

    Sorting all scores would take longer than all other metrics. Instead, every score is looked up in a table over the
    leading bits of floating-point numbers, which are in order. Only if its bin holds a positive, the score is searched.

    Args:
        data: All classes.
    """

    def __init__(self, data: ClassMajor) -> None:
        positives = np.sort(data.scores[data.positive])
        # The different scores of positives, and the number of positives below each. The last number is that of all.
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
        # Positives below each bin, −1 for a bin that holds one.
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
        # In a pair, the positive is above the negative, or below it, or they are equal, which counts half.
        return _area(2 * positives * negatives - (self._doubled - positives**2), positives, negatives)


def _area(doubled: int, positives: int, negatives: int) -> float:
    return doubled / (2 * positives * negatives) if positives and negatives else float('nan')


def _ordered(scores: np.ndarray) -> np.ndarray:
    """Return integers in the order of float32 scores: their bits, flipped for negative scores. Adding 0 makes −0 0."""
    bits = (scores + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return bits
