"""The one threshold for all classes that is best on given scores."""

from typing import Any

import numpy as np

from .figures import label_figures
from .matrices import ClassMajor, as_matrices
from .protocol import Protocol, get_protocol

MAX_CANDIDATES = 10_000


def tune_threshold(scores: Any, targets: Any, preset: str | Protocol = 'liu', **overrides: Any) -> float:
    """Return the threshold, common to all classes, with the highest F1.

    Tune it on held-out data and pass the number on: ``evaluate_scores(..., preset='liu', threshold=number)``.

    Args:
        scores (Tensor | ndarray): ``(N, C)``.
        targets (Tensor | ndarray): ``(N, C)`` of 1, 0, −1.
        preset (str | Protocol): How F1 is computed.
        **overrides: Options of :class:`Protocol`; ``tune_for='OF1' | 'CF1'`` says which F1.

    Returns:
        float: The largest of the best thresholds, exact up to 10,000 different scores of positives; from there on
        the best of 10,000 spread evenly over their ranks.

    Raises:
        ValueError: There is no positive label; see also :func:`as_matrices`, :func:`get_protocol`.
    """
    return best_threshold(ClassMajor.from_matrices(*as_matrices(scores, targets)), get_protocol(preset, **overrides))


def best_threshold(data: ClassMajor, protocol: Protocol) -> float:
    """:func:`tune_threshold` on data that is laid out already."""
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
    return float(max(below, np.finfo(below.dtype).min))  # the lowest score there may be is −inf
