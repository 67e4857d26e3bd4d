"""Average precision without a full ranking: only the precisions at the positives are needed."""

from typing import Any

import numpy as np

from .matrices import ClassMajor, as_matrices
from .protocol import Protocol


def average_precision(scores: Any, targets: Any, ap: str = 'all-points', ties: str = 'group') -> np.ndarray:
    """Average precision of every class; targets −1 are left out.

    Args:
        scores (Tensor | ndarray): ``(N, C)``.
        targets (Tensor | ndarray): ``(N, C)`` of 1, 0, −1.
        ap (str): ``'all-points'``, ``'envelope'`` or ``'11-point'``, see :class:`Protocol`.
        ties (str): ``'group'``, ``'worst'`` or ``'best'``, see :class:`Protocol`.

    Returns:
        ndarray: ``(C,)`` float64 in [0, 1], NaN for a class without positives.

    Raises:
        ValueError: See :func:`as_matrices` and :class:`Protocol`.
    """
    return average_precisions(ClassMajor.from_matrices(*as_matrices(scores, targets)), Protocol(ap=ap, ties=ties))


def average_precisions(data: ClassMajor, protocol: Protocol) -> np.ndarray:
    """:func:`average_precision` on data that is laid out already."""
    result = np.full(len(data.scores), np.nan)
    for index in range(len(result)):
        every, positives = data.sorted_class(index)
        if len(positives):
            result[index] = _class_ap(every, positives, protocol)
    return result


def _class_ap(every: np.ndarray, positives: np.ndarray, protocol: Protocol) -> float:
    """AP of one class from ascending scores of all samples ``(n,)`` and of the positives ``(p,)``, p > 0."""
    n, p = len(every), len(positives)
    hits: np.ndarray = p - np.searchsorted(positives, positives)  # (p,) positives that score at least as high
    taken = n - np.searchsorted(every, positives)  # (p,) samples that score at least as high
    if protocol.ties != 'group':
        higher_hits = p - np.searchsorted(positives, positives, side='right')
        higher = n - np.searchsorted(every, positives, side='right')
        tied_negatives = (taken - higher) - (hits - higher_hits)
        hits = np.arange(p, 0, -1)  # every positive is a step of its own
        taken = higher + (hits - higher_hits) + (tied_negatives if protocol.ties == 'worst' else 0)
    precision = np.asarray(hits / taken)  # from the last positive (recall 1) to the first
    if protocol.ap == 'all-points':
        return float(precision.mean())
    envelope = np.maximum.accumulate(precision)
    if protocol.ap == 'envelope':
        return float(envelope.mean())
    # Integers, because 3/10 >= 0.1*3 is false in floating point.
    reached = [np.count_nonzero(10 * hits >= tenth * p) for tenth in range(11)]
    return float(envelope[np.asarray(reached) - 1].mean())
