"""The threshold for all classes that is best on given scores."""

from typing import Any

import numpy as np

from .figures import label_figures
from .matrices import ClassMajor, as_matrices
from .protocol import Protocol, get_protocol

MAX_CANDIDATES = 10_000


def tune_threshold(scores: Any, targets: Any, preset: str | Protocol = 'liu', **overrides: Any) -> float:
    """Return the threshold with the highest F1. It is the same for all classes.

    Tune it on held-out data and pass the number on: ``evaluate_scores(..., preset='liu', threshold=number)``.

    Args:
        scores: Tensor or array ``(N, C)``.
        targets: Tensor or array ``(N, C)`` of 1, 0, −1.
        preset: How F1 is computed.
        **overrides: Options of :class:`Protocol`. ``tune_for`` says which F1.

    Returns:
        The largest of the best thresholds. It is exact for up to 10,000 different scores of positives. For more, it is
        the best of 10,000 scores, evenly spread over their ranks.

    Raises:
        ValueError: There is no positive label, or :func:`as_matrices` or :func:`get_protocol` refuses an input.

    Example:
        >>> threshold = tune_threshold(np.array([[0.9], [0.5], [0.25]]), np.array([[1], [1], [0]]))
        >>> round(threshold, 6)
        0.5
    """
    return best_threshold(ClassMajor.from_matrices(*as_matrices(scores, targets)), get_protocol(preset, **overrides))


def best_threshold(data: ClassMajor, protocol: Protocol) -> float:
    """Do what :func:`tune_threshold` does, for data in the layout of :class:`ClassMajor`."""
    # Predicting one more negative never raises F1, so only cuts just below the score of a positive can be best.
    candidates = np.unique(data.scores[data.positive])
    if not len(candidates):
        raise ValueError('a threshold cannot be tuned: targets hold no positive label')
    if len(candidates) > MAX_CANDIDATES:
        candidates = candidates[np.linspace(0, len(candidates) - 1, MAX_CANDIDATES).round().astype(np.int64)]
    num_classes = len(data.scores)
    ignored = data.ignored if protocol.ignored == 'ignore' else None
    rows = ClassMajor(data.scores, data.positive, ignored)
    positives = data.positive.sum(1)[:, None]  # (C, 1)
    hits = np.empty((num_classes, len(candidates)), np.int32)
    predicted = np.empty_like(hits)
    for index in range(num_classes):
        every, of_positives = rows.sorted_class(index)
        predicted[index] = len(every) - np.searchsorted(every, candidates)
        hits[index] = len(of_positives) - np.searchsorted(of_positives, candidates)
    chunk = max(1, 2**18 // num_classes)  # keeps the floating-point temporaries to a few MB
    f1 = np.concatenate(
        [
            label_figures(hits[:, i : i + chunk], predicted[:, i : i + chunk], positives, protocol)[protocol.tune_for]
            for i in range(0, len(candidates), chunk)
        ]
    )
    best = candidates[len(f1) - 1 - np.argmax(f1[::-1])]
    below = np.nextafter(best, -np.inf, dtype=data.scores.dtype)
    return float(max(below, np.finfo(below.dtype).min))  # the lowest possible score is −inf
