"""Translations by whole cells of the map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class TranslateView(ViewTransform):
    """Translation by whole cells. Places that enter the image are 0, the mean colour, and are not compared.

    Boxes are clipped to the image. A box that leaves the image keeps its row and has no area.

    Args:
        x: Pixels to the right, a multiple of the backbone's stride, which the sizes of image and map give.
        y: Pixels downwards, likewise.

    Raises:
        ValueError: Both are 0. When used: the translation is a fraction of a cell, or moves the whole image out.

    Examples:
        >>> view = TASK_UTILS.build(dict(type='mlic_mm.TranslateView', x=32))
        >>> view.move(torch.tensor([[[[1.0, 2.0, 3.0]]]]), size=(32, 96)).flatten()  # maps of stride 32
        tensor([0., 1., 2.])
    """

    leaves_gaps = True

    def __init__(self, x: int = 32, y: int = 0) -> None:
        if not (x or y):
            raise ValueError('x=0 and y=0 must not both be 0: give the pixels to translate by')
        self.x, self.y = x, y
        self.name = f'translate_{x}_{y}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        height, width = images.shape[-2:]
        if abs(self.x) >= width or abs(self.y) >= height:
            raise ValueError(f'TranslateView: x={self.x}, y={self.y} moves images of {width} × {height} px out of view')
        return _shift(images, self.x, self.y)

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        height, width = maps.shape[-2:]
        return _shift(maps, self._cells('x', self.x, width, size[1]), self._cells('y', self.y, height, size[0]))

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        (height, width), (x1, y1, x2, y2) = size, boxes.unbind(-1)
        x1, x2 = ((x + self.x).clamp(0, width) for x in (x1, x2))
        y1, y2 = ((y + self.y).clamp(0, height) for y in (y1, y2))
        return torch.stack([x1, y1, x2, y2], dim=-1)

    @staticmethod
    def _cells(axis: str, pixels: int, cells: int, length: int) -> int:
        if pixels * cells % length:
            raise ValueError(
                f'TranslateView: {axis}={pixels} px is {pixels * cells / length:.2f} cells of a map with {cells} cells '
                f'for {length} px: translate by a multiple of the stride, in images whose size is one, and in a '
                'ComposeView translate before scaling'
            )
        return pixels * cells // length


def _shift(maps: Tensor, x: int, y: int) -> Tensor:
    return F.pad(maps, (x, -x, y, -y))  # a negative pad crops
