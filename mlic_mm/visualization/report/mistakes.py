"""Select the most confident mistakes."""

from typing import NamedTuple

import numpy as np


class Mistake(NamedTuple):
    """A label that is wrongly predicted for an image, or wrongly not predicted."""

    image: int
    label: int
    score: float


def select_mistakes(
    scores: np.ndarray, targets: np.ndarray, predicted: np.ndarray, limit: int
) -> tuple[list[Mistake], list[Mistake]]:
    """Return the most confident false positives and false negatives. Ignored targets (−1) are neither.

    Args:
        scores: ``(N, C)``.
        targets: ``(N, C)`` with 1, 0 and −1.
        predicted: The predicted labels, bool ``(N, C)``.
        limit: The largest number of each kind.

    Returns:
        False positives with the highest score first, and false negatives with the lowest first. Equal scores are in the
        order of images, and then labels.
    """

    def first(wrong: np.ndarray, sign: int) -> list[Mistake]:
        image, label = np.nonzero(wrong)
        order = np.argsort(sign * scores[image, label], kind='stable')[:limit]
        pairs = zip(image[order].tolist(), label[order].tolist(), strict=True)
        return [Mistake(i, c, float(scores[i, c])) for i, c in pairs]

    return first(predicted & (targets == 0), -1), first(~predicted & (targets == 1), 1)
