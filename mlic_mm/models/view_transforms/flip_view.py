"""Mirror images."""

from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform

_DIMS = {'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}


@TASK_UTILS.register_module()
class FlipView(ViewTransform):
    """Mirror image.

    Args:
        direction (str): ``'horizontal'``, ``'vertical'`` or ``'diagonal'``, which is both.

    Raises:
        ValueError: Another direction.
    """

    def __init__(self, direction: str = 'horizontal') -> None:
        if direction not in _DIMS:
            raise ValueError(f'FlipView: direction={direction!r} is none of {", ".join(map(repr, _DIMS))}')
        self.dims = _DIMS[direction]
        self.name = 'flip' if direction == 'horizontal' else f'flip_{direction}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        return images.flip(self.dims)

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        return maps.flip(self.dims)
