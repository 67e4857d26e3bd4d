"""Precision, recall, F1, mean accuracy and example-based metrics from counts, all as fractions."""

import numpy as np

from .protocol import Protocol

_EMPTY = {'zero': 0.0, 'counted': 0.0, 'one': 1.0, 'skip': np.nan}


def class_figures(
    hits: np.ndarray, predicted: np.ndarray, positives: np.ndarray, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of every class. They are NaN if the protocol leaves the class out of that mean.

    Args:
        hits: Counts of true positives ``(C, ...)``.
        predicted: Counts of predictions ``(C, ...)``.
        positives: Counts of positives ``(C, ...)``.
        protocol: Its ``no_predictions`` and ``no_positives`` apply.

    Returns:
        Three arrays of the shape of the counts, in [0, 1].
    """
    precision = _ratio(hits, predicted, _EMPTY[protocol.no_predictions])
    recall = _ratio(hits, positives, _EMPTY[protocol.no_positives])
    if protocol.no_positives == 'skip':
        precision = np.where(positives == 0, np.nan, precision)
    return precision, recall, harmonic(precision, recall)


def label_figures(
    hits: np.ndarray, predicted: np.ndarray, positives: np.ndarray, protocol: Protocol
) -> dict[str, np.ndarray]:
    """Return ``CP, CR, CF1`` (means over classes) and ``OP, OR, OF1`` (all decisions together).

    Args:
        hits: Counts of true positives ``(C, ...)``. The trailing axes are different sets of predictions.
        predicted: Counts of predictions ``(C, ...)``.
        positives: Counts of positives ``(C, ...)``.
        protocol: Its ``class_f1``, ``no_predictions`` and ``no_positives`` apply.

    Returns:
        Arrays of shape ``(...)``. A value is NaN if its denominator is empty and the protocol skips it.
    """
    precision, recall, f1 = class_figures(hits, predicted, positives, protocol)
    cp, cr = mean_of_known(precision), mean_of_known(recall)
    cf1 = harmonic(cp, cr) if protocol.class_f1 == 'harmonic' else mean_of_known(f1)
    if protocol.no_predictions == 'counted':
        predicted = np.maximum(predicted, 1)
    op = _ratio(hits.sum(0), predicted.sum(0), _EMPTY[protocol.no_predictions])
    recall_all = _ratio(hits.sum(0), positives.sum(0), _EMPTY[protocol.no_positives])
    return {'CP': cp, 'CR': cr, 'CF1': cf1, 'OP': op, 'OR': recall_all, 'OF1': harmonic(op, recall_all)}


def mean_accuracy(
    hits: np.ndarray, predicted: np.ndarray, positives: np.ndarray, valid: np.ndarray, protocol: Protocol
) -> float:
    """Return the mean over classes of (TPR + TNR) / 2, from counts ``(C,)``.

    ``empty_rate`` applies to a class without positives, and to a class without negatives.
    """
    negatives = valid - positives
    empty = 0.0 if protocol.empty_rate == 'zero' else _EMPTY[protocol.no_positives]
    true_positive_rate = _ratio(hits, positives, empty)
    true_negative_rate = _ratio(negatives - (predicted - hits), negatives, empty)
    return float(mean_of_known((true_positive_rate + true_negative_rate) / 2))


def example_figures(hits: np.ndarray, predicted: np.ndarray, positives: np.ndarray) -> dict[str, float]:
    """Return ``Acc, Prec, Rec`` averaged over images, and ``F1``, the harmonic mean of ``Prec`` and ``Rec``.

    An image with an empty denominator counts 0. The published numbers on PA-100K show that F1 comes from the two means:
    88.47 and 83.41 give the 85.86 that is printed beside them.

    Args:
        hits: True positives of each image ``(N,)``.
        predicted: Predictions of each image ``(N,)``.
        positives: Positives of each image ``(N,)``.
    """
    accuracy = _ordered_mean(_ratio(hits, predicted + positives - hits, 0.0))
    precision = _ordered_mean(_ratio(hits, predicted, 0.0))
    recall = _ordered_mean(_ratio(hits, positives, 0.0))
    return {'Acc': accuracy, 'Prec': precision, 'Rec': recall, 'F1': float(harmonic(precision, recall))}


def harmonic(a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Return 2ab/(a+b): 0 if both are 0, NaN if one is NaN."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return 2 * a * b / np.where(a + b == 0, 1.0, a + b)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis without NaN. It is NaN if nothing else is there."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(0), known.sum(0), np.nan)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float) -> np.ndarray:
    return np.where(denominator == 0, empty, numerator / np.maximum(denominator, 1))


def _ordered_mean(values: np.ndarray) -> float:
    # Sorted, because the last digit of a sum of floats depends on the order, and the order of images must not matter.
    return float(np.sort(values).mean())
