"""What every transform of attention consistency does: make a view of an image, and move a map as the image moved."""

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

Size = tuple[int, int]
"""``(H, W)``."""


class MapPair(NamedTuple):
    """Two sets of maps of one shape ``(N, C, h, w)``, place by place of the same piece of the photograph.

    ``weight``, ``(h, w)``, is how many cells a place stands for, 0 where only one of the two shows it; None is 1
    everywhere.
    """

    moved: Tensor
    seen: Tensor
    weight: Tensor | None = None


class ViewTransform(ABC):
    """A spatial transform ``T`` of images that maps follow: ``T(g(I)) = g(T(I))`` (Eq. 4 of attention consistency).

    A new transform says how it moves images and maps; :class:`AttentionConsistencyClassifier` need not know it.

    Attributes:
        name (str): Short, for logs and figures.
        leaves_gaps (bool): Whether a view shows places that the image does not.
    """

    name: str
    leaves_gaps = False

    @abstractmethod
    def image(self, images: Tensor) -> Tensor:
        """Return the view of images ``(N, 3, H, W)``."""

    @abstractmethod
    def move(self, maps: Tensor, size: Size) -> Tensor:
        """Move maps ``(N, C, h, w)`` of images of ``size`` in their own grid; 0 where the images show nothing."""

    def view_size(self, size: Size) -> Size:
        """Return the size of the view of an image of ``size``."""
        return size

    def pair(self, maps: Tensor, view_maps: Tensor, size: Size) -> MapPair:
        """Bring the maps of images and of their views onto one grid.

        Grids of different sizes, 7 × 7 and 6 × 6, meet on the least common multiple, 42 × 42, by repeating cells
        (section 3.3). Of that grid only the 12 × 12 pieces in which neither map changes are made, with their area as
        the weight: the same sums for a twelfth of the memory.

        Args:
            maps: ``(N, C, h, w)`` of the images.
            view_maps: ``(N, C, h', w')`` of their views.
            size: Of the images.

        Raises:
            ValueError: The transform moves images of this size by a fraction of a cell.
        """
        moved = self.move(maps, size)
        weight = None
        if self.leaves_gaps:
            # Half precision cannot count the cells of a common grid.
            weight = self.move(maps.new_ones(1, 1, *maps.shape[2:], dtype=torch.float32), size)[0, 0]
        if moved.shape == view_maps.shape:
            return MapPair(moved, view_maps, weight)
        (y, x), (view_y, view_x), area = _common_grid(moved.shape[2:], view_maps.shape[2:], maps.device)
        if weight is not None:
            area = area * weight[y][:, x]
        return MapPair(moved[:, :, y][..., x], view_maps[:, :, view_y][..., view_x], area)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # kept tensors serve later training too
def _common_grid(
    first: Size, second: Size, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Return for both grids the rows and columns of their pieces, and the pieces' areas in cells of the common grid."""
    (y, view_y, height), (x, view_x, width) = (_pieces(a, b) for a, b in zip(first, second, strict=True))

    def indices(*places: list[int]) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(place, device=device) for place in places)

    rows, columns = indices(height, width)
    return indices(y, x), indices(view_y, view_x), rows[:, None] * columns  # type: ignore[return-value]


def _pieces(a: int, b: int) -> tuple[list[int], list[int], list[int]]:
    """Cut a line where one of two divisions into ``a`` and ``b`` parts does; return each piece's part and length."""
    common = math.lcm(a, b)
    cuts = sorted({*range(0, common, common // a), *range(0, common, common // b)})
    lengths = [end - start for start, end in zip(cuts, [*cuts[1:], common], strict=True)]
    return [cut * a // common for cut in cuts], [cut * b // common for cut in cuts], lengths
