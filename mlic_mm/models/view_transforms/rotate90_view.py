"""Rotations that keep the pixel grid."""

import torch
from torch import Tensor

from mlic_mm.registry import TASK_UTILS

from .view_transform import Size, ViewTransform


@TASK_UTILS.register_module()
class Rotate90View(ViewTransform):
    """Rotation by quarter turns.

    Args:
        turns (int): Quarter turns, anticlockwise; 1 to 3.

    Raises:
        ValueError: Another number of turns.
    """

    def __init__(self, turns: int = 1) -> None:
        if turns not in (1, 2, 3):
            raise ValueError(f'Rotate90View: turns={turns!r} must be 1, 2 or 3 quarter turns')
        self.turns = turns
        self.name = f'rotate{90 * turns}'

    def image(self, images: Tensor) -> Tensor:
        """See :class:`ViewTransform`."""
        return torch.rot90(images, self.turns, (-2, -1))

    def move(self, maps: Tensor, size: Size) -> Tensor:
        """See :class:`ViewTransform`."""
        return torch.rot90(maps, self.turns, (-2, -1))

    def view_size(self, size: Size) -> Size:
        """See :class:`ViewTransform`."""
        return size[::-1] if self.turns % 2 else size
