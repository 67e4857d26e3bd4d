"""Maps per label beside the logits, from heads that have such maps."""

from typing import Any

from mmpretrain.models.heads import CSRAClsHead, MultiLabelLinearClsHead
from mmpretrain.models.necks import GlobalAveragePooling
from torch import Tensor, nn

from mlic_mm.models.layers import feature_map

__all__ = ['check_gives_maps', 'forward_with_maps', 'map_channels']

Feats = tuple[Tensor, ...]


def check_gives_maps(head: nn.Module, neck: nn.Module | None) -> None:
    """Check that :func:`forward_with_maps` knows the maps of a head.

    Raises:
        ValueError: It does not; the message says which heads have maps.
    """
    linear = isinstance(head, MultiLabelLinearClsHead) and isinstance(neck, GlobalAveragePooling)
    if not (hasattr(head, 'forward_with_maps') or isinstance(head, CSRAClsHead) or linear):
        raise ValueError(
            f'{type(head).__name__} behind neck {type(neck).__name__ if neck else None} has no map per label: use '
            'MultiLabelLinearClsHead behind GlobalAveragePooling, CSRAClsHead, mlic_mm.DeepLIFTHead, or a head with '
            'a method forward_with_maps'
        )


def forward_with_maps(head: nn.Module, neck: nn.Module | None, feats: Feats) -> tuple[Tensor, Tensor]:
    """Return the maps of the labels, ``(N, C, h, w)``, and the head's logits, ``(N, C)``.

    A head's own method ``forward_with_maps(feats)`` goes first: Deep-LIFT gives its attended maps. mmpretrain's
    linear head behind average pooling gives class activation maps, the map that its logit less the bias is the mean of
    (Eq. 1 of attention consistency); its CSRA head the sum of its heads' score maps.

    Args:
        head: See :func:`check_gives_maps`.
        neck: What stands between backbone and head.
        feats: Stages of the backbone, the last one ``(N, D, h, w)``.
    """
    own = getattr(head, 'forward_with_maps', None)
    if own is None and not isinstance(head, CSRAClsHead):  # linear, behind average pooling
        assert neck is not None
        maps = feature_map(feats, map_channels(head), type(head).__name__)
        return nn.functional.conv2d(maps, head.get_parameter('fc.weight')[:, :, None, None]), head(neck((maps,)))
    after_neck = neck(feats) if neck is not None else feats
    if own is not None:
        return own(after_neck)
    maps = feature_map(after_neck, map_channels(head), type(head).__name__)
    branches: Any = head.csra_heads
    kernels = [branch.head.weight for branch in branches]  # (C, D, 1, 1)
    kernel = sum(weight / weight.norm(dim=1, keepdim=True) for weight in kernels)
    return nn.functional.conv2d(maps, kernel), head((maps,))


def map_channels(head: nn.Module) -> int | None:
    """Channels of the maps that a head takes, where it tells them."""
    if isinstance(head, CSRAClsHead):
        return head.csra_heads[0].head.in_channels
    return getattr(head, 'in_channels', None)
