"""Mirror images."""

from typing import Literal

import torch
from torch import Tensor

from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.choices import check_choice

from .view_transform import Size, ViewTransform

_DIMS = {'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}


@TASK_UTILS.register_module()
class FlipView(ViewTransform):
    """Mirror image.

    Args:
        direction: Direction of the flip; ``'diagonal'`` is both others.

    Raises:
        ValueError: ``direction`` is unknown.

    Examples:
        >>> view = TASK_UTILS.build(dict(type='mlic_mm.FlipView'))
        >>> view.image(torch.tensor([[[[1, 2, 3]]]])).flatten()
        tensor([3, 2, 1])
        >>> view.boxes(torch.tensor([[0, 0, 1, 1]]), size=(1, 3))
        tensor([[2, 0, 3, 1]])
    """

    def __init__(self, direction: Literal['horizontal', 'vertical', 'diagonal'] = 'horizontal') -> None:
        check_choice('direction', direction, _DIMS)
        self.dims = _DIMS[direction]
        self.name = 'flip' if direction == 'horizontal' else f'flip_{direction}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        return images.flip(self.dims)

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        return maps.flip(self.dims)

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        (height, width), (x1, y1, x2, y2) = size, boxes.unbind(-1)
        if -1 in self.dims:
            x1, x2 = width - x2, width - x1
        if -2 in self.dims:
            y1, y2 = height - y2, height - y1
        return torch.stack([x1, y1, x2, y2], dim=-1)
