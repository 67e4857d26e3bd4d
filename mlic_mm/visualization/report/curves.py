"""Precision-recall curves and score histograms for the charts. Ignored targets (−1) are left out of both."""

from typing import NamedTuple

import numpy as np

RECALL_GRID = np.linspace(0, 1, 101)


class PrecisionRecall(NamedTuple):
    """One point for each distinct score, from the highest score down. Empty for a class without positives."""

    recall: np.ndarray
    precision: np.ndarray
    threshold: np.ndarray


def precision_recall(scores: np.ndarray, targets: np.ndarray) -> PrecisionRecall:
    """Return the curve of one class. An image is predicted if its score is at least the threshold.

    Args:
        scores: ``(N,)``.
        targets: ``(N,)`` with 1, 0 and −1 (ignored).
    """
    known = targets != -1
    scores, positive = scores[known], targets[known] == 1
    if not positive.any():
        return PrecisionRecall(*np.zeros((3, 0)))
    order = np.argsort(-scores, kind='stable')
    scores, hits = scores[order], np.cumsum(positive[order])
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # end of each group of equal scores
    return PrecisionRecall(hits[last] / hits[-1], hits[last] / (last + 1), scores[last])


def precision_at(curve: PrecisionRecall, recall: np.ndarray) -> np.ndarray:
    """Return the precision at which each recall is first reached. Its mean over recall is the all-points AP."""
    # The slack compensates rounding: recall 0.3 of a grid must find 3/10 of a curve.
    return curve.precision[np.searchsorted(curve.recall, np.asarray(recall) - 1e-9)]


def thin(curve: PrecisionRecall, limit: int) -> PrecisionRecall:
    """Keep at most ``limit`` points, evenly spread over recall, up to the first with recall 1."""
    end = int(np.searchsorted(curve.recall, 1 - 1e-9)) + 1
    if end <= limit:
        keep: np.ndarray = np.arange(min(end, len(curve.recall)))
    else:
        keep = np.unique(np.searchsorted(curve.recall, np.linspace(curve.recall[0], 1, limit) - 1e-9))
    return PrecisionRecall(*(values[keep] for values in curve))


class ScoreHistograms(NamedTuple):
    """Counts for each class and bin, ``(C, B)``, with ``B`` equal bins between ``low`` and ``high``."""

    positive: np.ndarray
    negative: np.ndarray
    low: float
    high: float


def score_histograms(scores: np.ndarray, targets: np.ndarray, bins: int = 25) -> ScoreHistograms:
    """Count the scores ``(N, C)`` of positives and negatives.

    The range is [0, 1], or wider if finite scores are outside. Infinite scores are in the first or the last bin.
    """
    known = scores if np.isfinite(scores).all() else scores[np.isfinite(scores)]
    low, high = min(0.0, float(known.min(initial=0))), max(1.0, float(known.max(initial=1)))
    num_classes = scores.shape[1]
    counts = np.zeros((2, num_classes * bins), np.int64)
    columns = np.arange(num_classes) * bins
    for start in range(0, len(scores), 4096):  # bounds the extra memory
        rows = slice(start, start + 4096)
        place = (np.clip(scores[rows].astype(np.float64), low, high) - low) / (high - low)
        index = np.minimum((place * bins).astype(np.int64), bins - 1)
        index += columns
        for target in (0, 1):
            counts[target] += np.bincount(index[targets[rows] == target], minlength=num_classes * bins)
    negative, positive = counts.reshape(2, num_classes, bins)
    return ScoreHistograms(positive, negative, low, high)
