"""What every generator of proposals shares."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mlic_mm.utils.boxes import has_area, image_frame


class PatchGenerator(ABC):
    """Finds regions of an image that may hold an object; subclasses write :meth:`propose`.

    A call takes a uint8 BGR image ``(H, W, 3)`` and returns boxes, float32 ``(R, 4)`` as [x1, y1, x2, y2] in pixels,
    right and lower edge outside, and scores, float32 ``(R,)``, best first. ``R`` is at most ``num`` and may be 0.
    Boxes are cut off at the image's edges, and those without area inside it are left out.

    A generator can be pickled, and built in one process and called in others: it must not touch a GPU before its first
    call.

    Args:
        num (int): Most boxes an image gives. Defaults to 1000.

    Raises:
        ValueError: ``num`` is not positive. On a call: the image is no uint8 ``(H, W, 3)``, or boxes or scores are
            not finite.
    """

    def __init__(self, num: int = 1000) -> None:
        if num < 1:
            raise ValueError(f'{type(self).__name__}: num={num} must be at least 1')
        self.num = num

    @property
    def settings(self) -> dict[str, Any]:
        """Type and options, fit for JSON: what a proposal file says of its origin."""
        return dict(type=f'mlic_mm.{type(self).__name__}', num=self.num)

    @abstractmethod
    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes ``(R, 4)`` and scores ``(R,)``, in any order and number."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best ``num`` boxes of ``image`` and their scores."""
        name = type(self).__name__
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f'{name}: image is {image.dtype} {image.shape}, not uint8 (H, W, 3)')
        boxes, scores = self.propose(image)
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(scores, np.float32).reshape(-1)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f'{name}: boxes or scores are not finite; check its weights and options')
        boxes, inside = clip_boxes(boxes, image.shape[:2])
        boxes, scores = boxes[inside], scores[inside]
        best = np.argsort(-scores, kind='stable')[: self.num]
        return boxes[best], scores[best]

    def __repr__(self) -> str:
        options = ', '.join(f'{key}={value!r}' for key, value in self.settings.items() if key != 'type')
        return f'{type(self).__name__}({options})'


def clip_boxes(boxes: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Cut boxes ``(R, 4)`` off at the edges of an image of ``size`` (H, W).

    Returns:
        tuple: The boxes, and which of them have an area, bool ``(R,)``.
    """
    height, width = size
    boxes = np.clip(boxes, 0, np.array(image_frame(width, height), boxes.dtype))
    return boxes, has_area(boxes)
