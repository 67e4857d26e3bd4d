"""Average precision without a full ranking: only the precisions at the positives are needed."""

from typing import Any, Literal

import numpy as np

from .matrices import ClassMajor, as_matrices
from .protocol import Protocol


def average_precision(
    scores: Any,
    targets: Any,
    ap: Literal['all-points', 'envelope', '11-point'] = 'all-points',
    ties: Literal['group', 'worst', 'best'] = 'group',
) -> np.ndarray:
    """Return the average precision of every class. Targets −1 are left out.

    Args:
        scores: Tensor or array ``(N, C)``.
        targets: Tensor or array ``(N, C)`` of 1, 0, −1.
        ap: See :class:`Protocol`.
        ties: See :class:`Protocol`. None of the choices is the mean over the orders of equal scores.

    Returns:
        float64 ``(C,)`` in [0, 1], NaN for a class without positives.

    Raises:
        ValueError: :func:`as_matrices` or :class:`Protocol` refuses an input.

    Example:
        >>> average_precision(np.array([[0.9], [0.5], [0.4]]), np.array([[1], [0], [1]])).round(4).tolist()
        [0.8333]
    """
    data, protocol = ClassMajor.from_matrices(*as_matrices(scores, targets)), Protocol(ap=ap, ties=ties)
    result = np.full(len(data.scores), np.nan)
    for index in range(len(result)):
        every, positives = data.sorted_class(index)
        if len(positives):
            result[index] = class_ap(every, positives, protocol)
    return result


def class_ap(every: np.ndarray, positives: np.ndarray, protocol: Protocol) -> float:
    """Return the AP of one class from ascending scores of all samples ``(n,)`` and of the positives ``(p,)``, p > 0."""
    n, p = len(every), len(positives)
    lower, lower_positives = np.searchsorted(every, positives), np.searchsorted(positives, positives)
    hits, taken = p - lower_positives, n - lower  # (p,) positives, samples that score at least as high
    if protocol.ties != 'group':
        later = np.arange(p) - lower_positives  # one after the other: tied positives that enter after this one
        hits, taken = hits - later, taken - later
        if protocol.ties == 'best':
            tied = np.searchsorted(every, positives, side='right') - lower
            tied_positives = np.searchsorted(positives, positives, side='right') - lower_positives
            taken = taken - (tied - tied_positives)
    precision = hits / taken  # from the last positive (recall 1) to the first
    if protocol.ap == 'all-points':
        return float(precision.mean())
    envelope = np.maximum.accumulate(precision)
    if protocol.ap == 'envelope':
        return float(envelope.mean())
    # Integers, because 3/10 >= 0.1*3 is false in floating point.
    reached = [np.count_nonzero(10 * hits >= tenth * p) for tenth in range(11)]
    return float(envelope[np.asarray(reached) - 1].mean())
