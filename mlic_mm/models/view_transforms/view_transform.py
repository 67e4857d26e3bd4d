"""The base of the transforms of attention consistency: a view of an image, and what moves as the image does."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.utils.boxes import has_area

Size = tuple[int, int]
"""``(H, W)``."""


class MapPair(NamedTuple):
    """Two sets of maps of one shape ``(N, C, h, w)``; each place is the same piece of the photograph in both.

    Attributes:
        moved: Maps of the image, moved as the image.
        seen: Maps of the view.
        weight: How many cells a place stands for, ``(h, w)``: 0 if only one of the two shows the place; None is 1
            everywhere.
    """

    moved: Tensor
    seen: Tensor
    weight: Tensor | None = None


class ViewTransform(ABC):
    """A spatial transform ``T`` of images that maps follow: ``T(g(I)) = g(T(I))`` (attention consistency, Eq. 4).

    A new transform implements how images and maps move, and how boxes move if its samples have boxes. No other code
    needs to know the transform.

    Attributes:
        name: A short name for logs and figures. Views with equal names are taken as equal.
        leaves_gaps: Whether a view shows places that the image does not show.
    """

    name: str
    leaves_gaps = False

    @abstractmethod
    def image(self, images: Tensor) -> Tensor:
        """Return the view of images ``(N, 3, H, W)``."""

    @abstractmethod
    def move(self, maps: Tensor, size: Size) -> Tensor:
        """Move maps ``(N, C, h, w)`` of images of ``size`` in their own grid; places outside of the images are 0."""

    def boxes(self, boxes: Tensor, size: Size) -> Tensor:
        """Move boxes ``(R, 4)``, [x1, y1, x2, y2] in pixels of images of ``size``, to pixels of the view.

        The result has as many rows. A box that leaves the image has no area.

        Raises:
            NotImplementedError: The transform does not say how boxes move.
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not move boxes, but the samples have some: implement its method boxes()'
        )

    def view_size(self, size: Size) -> Size:
        """Return the size of the view of an image of ``size``."""
        return size

    def sample(self, sample: DataSample, size: Size) -> DataSample:
        """Return the sample of the view: a copy whose boxes are in pixels of the view.

        Moved are ``proposals``, and ``bboxes`` of ``gt_instances`` and ``ignored_instances``, which keep their type,
        tensor or mmdet's ``HorizontalBoxes``. Proposals keep their number and order, since other code refers to them
        by index. Objects that leave the image are left out, as in
        :class:`~mlic_mm.datasets.transforms.PackBoxes`. Nothing else moves. Labels hold for each view. ``ori_shape``,
        masks and cached maps remain those of the image.

        ``pad_shape`` and ``batch_input_shape``, if present, become the size of the view. ``img_shape`` is the part of
        the input, from its upper left corner, that is not padding. An image moves together with its padding, so the
        geometry is that of the whole input. ``img_shape`` becomes the smallest part from the upper left corner that
        contains the moved image, in whole pixels. So :class:`ScaleView` scales it. After a flip or a turn, padding can
        be on the left of the image or above it, and then counts as image. A view that leaves gaps counts as image as a
        whole.

        Args:
            sample: A sample with boxes in pixels of the input. It is not changed. A sample without boxes is returned
                itself.
            size: Size of the input, with padding.
        """
        fields = [field for field in ('gt_instances', 'ignored_instances') if 'bboxes' in sample.get(field, {})]
        if not fields and 'proposals' not in sample:
            return sample
        moved = sample.clone()
        for field in fields:
            moved.set_field(self._instances(sample.get(field), size), field)
        if 'proposals' in sample:
            moved.set_field(self.boxes(sample.proposals, size), 'proposals')
        shapes = dict.fromkeys(('pad_shape', 'batch_input_shape'), self.view_size(size))
        if 'img_shape' in sample.metainfo_keys():
            shapes['img_shape'] = self._img_shape(sample.metainfo['img_shape'], size)
        moved.set_metainfo({name: shape for name, shape in shapes.items() if name in sample.metainfo_keys()})
        return moved

    def _instances(self, instances: InstanceData, size: Size) -> InstanceData:
        moved, structure = instances.clone(), instances.bboxes
        is_tensor = isinstance(structure, Tensor)
        boxes = self.boxes(structure if is_tensor else structure.tensor, size)
        moved.bboxes = boxes if is_tensor else type(structure)(boxes, clone=False)
        # A box without area among the objects would give a detector targets that are not finite.
        return moved[has_area(boxes)] if self.leaves_gaps else moved

    def _img_shape(self, img_shape: Sequence[int], size: Size) -> Size:
        if self.leaves_gaps:
            return self.view_size(size)
        height, width = img_shape[:2]
        _, _, right, bottom = self.boxes(torch.tensor([[0, 0, width, height]], dtype=torch.float64), size)[0].tolist()
        return round(bottom), round(right)

    def pair(self, maps: Tensor, view_maps: Tensor, size: Size) -> MapPair:
        """Bring the maps of images and of their views onto one grid.

        Paper: grids of different sizes, 7 × 7 and 6 × 6, are repeated to their least common multiple, 42 × 42 (section
        3.3). Here: only the 12 × 12 pieces of that grid in which neither map changes, with their area as the weight.
        The sums are the same for a twelfth of the memory.

        Args:
            maps: Maps of the images, ``(N, C, h, w)``.
            view_maps: Maps of their views, ``(N, C, h', w')``.
            size: Size of the images.

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
@torch.inference_mode(False)  # later training uses kept tensors too
def _common_grid(
    first: Size, second: Size, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Return the rows and columns of the pieces of both grids, and the areas of pieces in cells of the common grid."""
    (y, view_y, height), (x, view_x, width) = (_pieces(a, b) for a, b in zip(first, second, strict=True))

    def indices(*places: list[int]) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(place, device=device) for place in places)

    rows, columns = indices(height, width)
    return indices(y, x), indices(view_y, view_x), rows[:, None] * columns  # type: ignore[return-value]


def _pieces(a: int, b: int) -> tuple[list[int], list[int], list[int]]:
    """Cut a line at the cuts of two divisions into ``a`` and ``b`` parts; return the parts and length of each piece."""
    common = math.lcm(a, b)
    cuts = sorted({*range(0, common, common // a), *range(0, common, common // b)})
    lengths = [end - start for start, end in zip(cuts, [*cuts[1:], common], strict=True)]
    return [cut * a // common for cut in cuts], [cut * b // common for cut in cuts], lengths
