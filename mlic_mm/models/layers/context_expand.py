"""Patches that also show what is around an object."""

from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.choices import check_range


@TASK_UTILS.register_module()
class ContextExpand:
    """Patch expansion of the context branch: boxes grow about their centres.

    `Spatial context <https://arxiv.org/abs/2111.12296>`_ (Zhang et al. 2021), section 2.3. Width and height are
    multiplied by ``ratio``. Parts outside of the image are cut off.

    Paper: gives no ratio. Here: 1.5. With 1, boxes stay as they are.

    Args:
        ratio: Factor of the sides, at least 1.

    Raises:
        ValueError: ``ratio`` is below 1.

    Examples:
        >>> import torch
        >>> expand = TASK_UTILS.build(dict(type='mlic_mm.ContextExpand', ratio=2.0))
        >>> expand(torch.tensor([[10.0, 10.0, 30.0, 20.0]]), (100, 35)).tolist()
        [[0.0, 5.0, 35.0, 25.0]]
    """

    def __init__(self, ratio: float = 1.5) -> None:
        check_range('ratio', ratio, at_least=1)
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
