"""How far the maps of an image and of its view are from being consistent."""

import torch
from torch import Tensor

from mlic_mm.models.losses import attention_distance

from .view_transform import Size, ViewTransform


def inconsistency(view: ViewTransform, maps: Tensor, view_maps: Tensor, size: Size) -> Tensor:
    """Measure attention inconsistency, Eq. 5, for each image, with two figures to judge it by.

    Args:
        view: The transform.
        maps: Maps of the images, ``(N, C, h, w)``.
        view_maps: Maps of their views, ``(N, C, h', w')``.
        size: Size of the images.

    Returns:
        ``(N, 3)``, float32, over the places that both show: the mean square of the difference; the same of maps minus
        their means over places, so that a view whose scores are higher or lower as a whole does not count; the mean
        variance of the maps over places.
    """
    moved, seen, weight = view.pair(maps.float(), view_maps.float(), size)
    area = moved.new_ones(moved.shape[2:]) if weight is None else weight

    def centred(each: Tensor) -> Tensor:
        return each - (each * area).sum((2, 3), keepdim=True) / area.sum()

    patterns = centred(moved), centred(seen)
    variances = [attention_distance(pattern, torch.zeros_like(pattern), area) for pattern in patterns]
    distance, pattern = attention_distance(moved, seen, area), attention_distance(*patterns, area)
    return torch.stack([distance, pattern, (variances[0] + variances[1]) / 2], dim=1)
