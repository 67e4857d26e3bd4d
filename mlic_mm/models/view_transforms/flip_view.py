"""Mirror images."""

from typing import Literal

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
        >>> import torch
        >>> view = TASK_UTILS.build(dict(type='mlic_mm.FlipView'))
        >>> view.image(torch.tensor([[[[1, 2, 3]]]])).flatten()
        tensor([3, 2, 1])
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
