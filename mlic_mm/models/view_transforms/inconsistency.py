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
        leaves out that a view may score higher or lower as a whole; the mean variance of the maps over their places.
    """
    centred = [each.float() - each.float().mean((2, 3), keepdim=True) for each in (maps, view_maps)]
    spread = sum(each.square().mean((1, 2, 3)) for each in centred) / 2
    return torch.stack(
        [
            attention_distance(*view.pair(maps, view_maps, size)),
            attention_distance(*view.pair(*centred, size)),
            spread,
        ],
        dim=1,
    )
