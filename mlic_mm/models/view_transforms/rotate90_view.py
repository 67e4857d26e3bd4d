"""Rotations that keep the pixel grid."""

from typing import Literal

import torch
from torch import Tensor

from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.choices import check_choice

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class Rotate90View(ViewTransform):
    """Rotation by quarter turns.

    Args:
        turns: Number of quarter turns, anticlockwise.

    Raises:
        ValueError: The number of turns is not 1, 2 or 3.

    Examples:
        >>> view = TASK_UTILS.build(dict(type='mlic_mm.Rotate90View'))
        >>> view.image(torch.tensor([[[[1, 2], [3, 4]]]])).tolist()
        [[[[2, 4], [1, 3]]]]
    """

    def __init__(self, turns: Literal[1, 2, 3] = 1) -> None:
        check_choice('turns', turns, (1, 2, 3))
        self.turns = turns
        self.name = f'rotate{90 * turns}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        return torch.rot90(images, self.turns, (-2, -1))

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        return torch.rot90(maps, self.turns, (-2, -1))

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        for _ in range(self.turns):
            x1, y1, x2, y2 = boxes.unbind(-1)
            boxes = torch.stack([y1, size[1] - x2, y2, size[1] - x1], dim=-1)
            size = size[::-1]
        return boxes

    def view_size(self, size: Size) -> Size:
        """See :class:`ViewTransform`."""
        return size[::-1] if self.turns % 2 else size
