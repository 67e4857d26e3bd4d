"""Patches that also show what is around an object."""

from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from mlic_mm.registry import TASK_UTILS


@TASK_UTILS.register_module()
class ContextExpand:
    """Patch expansion of the context branch (spatial context, section 2.3): boxes grown about their centres.

    Width and height are multiplied by ``ratio``; what then lies outside of the image is cut off.

    Paper: silent about the ratio. Here: 1.5, and 1 leaves boxes as they are.

    Args:
        ratio: Of the sides, at least 1.

    Raises:
        ValueError: ``ratio`` is below 1.
    """

    def __init__(self, ratio: float = 1.5) -> None:
        if not ratio >= 1:
            raise ValueError(f'ContextExpand: ratio={ratio} would cut objects; give 1 or more')
        self.ratio = ratio

    def __call__(self, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """Return the patches of boxes.

        Args:
            boxes: ``(R, 4)``, [x1, y1, x2, y2] in pixels.
            img_shape: Height and width of the image in pixels.
        """
        grow = (boxes[:, 2:] - boxes[:, :2]) * ((self.ratio - 1) / 2)  # (R, 2)
        grown = boxes.clone()
        grown[:, :2] -= grow
        grown[:, 2:] += grow
        return clip_boxes_to_image(grown, (img_shape[0], img_shape[1]))

    def __repr__(self) -> str:
        return f'ContextExpand(ratio={self.ratio})'
