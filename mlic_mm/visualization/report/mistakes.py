"""Pick the predictions that were most surely wrong."""

from typing import NamedTuple

import numpy as np


class Mistake(NamedTuple):
    """A label wrongly given to an image, or wrongly withheld from it."""

    image: int
    label: int
    score: float


def select_mistakes(
    scores: np.ndarray, targets: np.ndarray, predicted: np.ndarray, limit: int
) -> tuple[list[Mistake], list[Mistake]]:
    """Return the most confident false positives and false negatives; ignored targets (−1) are neither.

    Args:
        scores: Shape ``(N, C)``.
        targets: Shape ``(N, C)`` with 1, 0 and −1.
        predicted: Which labels count as predicted, bool ``(N, C)``.
        limit: At most this many of each kind.

    Returns:
        False positives with the highest score first, false negatives with the lowest first; equal scores in the order
        of images, then labels.
    """

    def first(wrong: np.ndarray, sign: int) -> list[Mistake]:
        image, label = np.nonzero(wrong)
        order = np.argsort(sign * scores[image, label], kind='stable')[:limit]
        pairs = zip(image[order].tolist(), label[order].tolist(), strict=True)
        return [Mistake(i, c, float(scores[i, c])) for i, c in pairs]

    return first(predicted & (targets == 0), -1), first(~predicted & (targets == 1), 1)
