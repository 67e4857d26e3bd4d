"""How far the maps of an image and of its view are from being consistent."""

import torch
from torch import Tensor

from mlic_mm.models.losses import attention_distance

from .view_transform import Size, ViewTransform


def inconsistency(view: ViewTransform, maps: Tensor, view_maps: Tensor, size: Size) -> Tensor:
    """Measure Eq. 5 of attention consistency for each image, and what it takes to judge it.

    Args:
        view: The transform.
        maps: ``(N, C, h, w)`` of the images.
        view_maps: ``(N, C, h', w')`` of their views.
        size: Of the images.

    Returns:
        ``(N, 3)``, float32: the mean square of the difference; that of the maps less their means over places, which
        leaves out that a view may score higher or lower as a whole; the mean variance of the maps over places. All
        three over the places that both show.
    """
    moved, seen, weight = view.pair(maps.float(), view_maps.float(), size)
    area = moved.new_ones(moved.shape[2:]) if weight is None else weight

    def centred(each: Tensor) -> Tensor:
        return each - (each * area).sum((2, 3), keepdim=True) / area.sum()

    patterns = centred(moved), centred(seen)
    variances = [attention_distance(pattern, torch.zeros_like(pattern), area) for pattern in patterns]
    distance, pattern = attention_distance(moved, seen, area), attention_distance(*patterns, area)
    return torch.stack([distance, pattern, (variances[0] + variances[1]) / 2], dim=1)
