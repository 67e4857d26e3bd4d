"""Predicted labels: those above a threshold, or the best k of every image."""

from collections.abc import Sequence

import numpy as np


def above_threshold(scores: np.ndarray, threshold: float | Sequence[float]) -> np.ndarray:
    """Return the labels whose score is strictly higher than the threshold.

    Args:
        scores: ``(C, N)``.
        threshold: One number, or one for each class ``(C,)``.

    Returns:
        bool ``(C, N)``.

    Raises:
        ValueError: The number of thresholds is not C, or one is NaN.
    """
    limits = np.asarray(threshold, dtype=scores.dtype)  # compared in the type of the scores: 0.8 is not above 0.8
    if np.isnan(limits).any():
        raise ValueError(f'threshold={threshold!r} must be a number, or one for each class')
    if limits.ndim and len(limits) != len(scores):
        raise ValueError(f'threshold has {len(limits)} values for {len(scores)} classes: give one for each class')
    return scores > (limits[:, None] if limits.ndim else limits)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the k labels of every image with the highest scores, or all labels if there are fewer.

    Of labels with equal scores, those with the lower index are taken.

    Args:
        scores: ``(C, N)``.
        k: Labels for each image.

    Returns:
        bool ``(C, N)`` with min(k, C) labels in each column.

    Example:
        >>> top_k(np.array([[0.5], [0.9], [0.5]]), 2).T
        array([[ True,  True, False]])
    """
    k = min(k, len(scores))
    # Class by class through all images at once: k running maxima are far cheaper than N small partitions.
    best = np.full((k, scores.shape[1]), -np.inf, scores.dtype)  # descending
    spare = np.empty(scores.shape[1], scores.dtype)
    for row in scores:
        current = row.copy()
        for rank in best:
            np.minimum(rank, current, out=spare)
            np.maximum(rank, current, out=rank)
            current, spare = spare, current
    chosen = scores >= best[-1]
    tied = np.flatnonzero(np.add.reduce(chosen, axis=0, dtype=np.int32) > k)
    if len(tied):
        above = scores[:, tied] > best[-1, tied]  # (C, T)
        equal = chosen[:, tied] & ~above
        room = k - np.add.reduce(above, axis=0, dtype=np.int32)
        chosen[:, tied] = above | (equal & (np.cumsum(equal, axis=0, dtype=np.int32) <= room))
    return chosen
