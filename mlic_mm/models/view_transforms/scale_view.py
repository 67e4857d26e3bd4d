"""Scaled images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class ScaleView(ViewTransform):
    """Image at another size, by antialiased bilinear interpolation. It shows the whole image, so maps do not move.

    Args:
        size: Side of a square, or ``(H, W)``, in pixels.

    Raises:
        ValueError: ``size`` is invalid.

    Examples:
        >>> view = TASK_UTILS.build(dict(type='mlic_mm.ScaleView', size=192))
        >>> view.image(torch.rand(1, 3, 224, 224)).shape
        torch.Size([1, 3, 192, 192])
    """

    def __init__(self, size: int | tuple[int, int] = 192) -> None:
        sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
        if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(f'size={size!r} must be the side of a square in pixels, or (H, W)')
        self.size: Size = sides
        self.name = f'scale_{sides[0]}' if sides[0] == sides[1] else f'scale_{sides[0]}x{sides[1]}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        return F.interpolate(images, size=self.size, mode='bilinear', antialias=True)

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        return maps

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        (height, width), (view_height, view_width), (x1, y1, x2, y2) = size, self.size, boxes.unbind(-1)
        # The product comes first. It is exact, so the last corner of the image is exactly that of the view.
        x1, x2 = x1 * view_width / width, x2 * view_width / width
        y1, y2 = y1 * view_height / height, y2 * view_height / height
        return torch.stack([x1, y1, x2, y2], dim=-1)

    def view_size(self, size: Size) -> Size:
        """See :class:`ViewTransform`."""
        return self.size
