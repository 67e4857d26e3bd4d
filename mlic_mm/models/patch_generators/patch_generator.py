"""The base of proposal generators."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mlic_mm.utils.boxes import has_area, image_frame
from mlic_mm.utils.choices import check_range


class PatchGenerator(ABC):
    """Finds regions of an image that may hold an object. Subclasses write :meth:`propose`.

    A call takes a uint8 BGR image ``(H, W, 3)``. It returns boxes, float32 ``(R, 4)`` as [x1, y1, x2, y2] in pixels,
    with the right and lower edge outside, and scores, float32 ``(R,)``, the best first. ``R`` is at most ``num`` and
    may be 0. Boxes are clipped to the image, and boxes without area in the image are left out.

    A generator can be pickled. It may be built in one process and called in others, so it must not use a GPU before its
    first call.

    Args:
        num: Largest number of boxes per image.

    Raises:
        ValueError: ``num`` is below 1. When called: the image is no uint8 ``(H, W, 3)``, or boxes or scores are not
            finite.
    """

    def __init__(self, num: int = 1000) -> None:
        check_range('num', num, at_least=1, whole=True)
        self.num = num

    @property
    def settings(self) -> dict[str, Any]:
        """Type and options for JSON, which a proposal file states as its origin."""
        return dict(type=f'mlic_mm.{type(self).__name__}', num=self.num)

    @abstractmethod
    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes ``(R, 4)`` and scores ``(R,)``, in any order and number."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best ``num`` boxes of ``image`` and their scores."""
        name = type(self).__name__
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f'{name}: the image is {image.dtype} {image.shape}, not uint8 (H, W, 3)')
        boxes, scores = self.propose(image)
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(scores, np.float32).reshape(-1)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError(f'{name}: boxes or scores are not finite: check its weights and options')
        boxes, inside = clip_boxes(boxes, image.shape[:2])
        boxes, scores = boxes[inside], scores[inside]
        best = np.argsort(-scores, kind='stable')[: self.num]
        return boxes[best], scores[best]

    def __repr__(self) -> str:
        options = ', '.join(f'{key}={value!r}' for key, value in self.settings.items() if key != 'type')
        return f'{type(self).__name__}({options})'


def clip_boxes(boxes: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes ``(R, 4)`` to an image of ``size`` (H, W); return them, and which have an area, bool ``(R,)``."""
    height, width = size
    boxes = np.clip(boxes, 0, np.array(image_frame(width, height), boxes.dtype))
    return boxes, has_area(boxes)
