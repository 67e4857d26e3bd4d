"""Boxes [x1, y1, x2, y2], as arrays or tensors."""

from typing import Any, TypeVar

__all__ = ['has_area', 'image_frame']

Boxes = TypeVar('Boxes', bound=Any)
"""``numpy.ndarray`` or ``torch.Tensor``."""


def image_frame(width: float, height: float) -> list[float]:
    """Return the right and lower edge of an image for both corners of a box.

    Boxes in pixels over a frame are fractions, and fractions times a frame are pixels.

    Example:
        >>> image_frame(640, 480)
        [640, 480, 640, 480]
    """
    return [width, height, width, height]


def has_area(boxes: Boxes) -> Boxes:
    """Return which boxes ``(R, 4)`` have a width and a height, bool ``(R,)``. A box with NaN has none.

    Example:
        >>> import numpy as np
        >>> has_area(np.array([[0, 0, 5, 5], [3, 0, 3, 5]])).tolist()
        [True, False]
    """
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
