"""Logits and maps of the labels, from heads that have a map per label."""

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
        ValueError: The head has no maps; the message says which heads have maps.
    """
    linear = isinstance(head, MultiLabelLinearClsHead) and isinstance(neck, GlobalAveragePooling)
    if not (hasattr(head, 'forward_with_maps') or isinstance(head, CSRAClsHead) or linear):
        raise ValueError(
            f'{type(head).__name__} after neck {type(neck).__name__ if neck else None} has no map per label: use '
            'MultiLabelLinearClsHead after GlobalAveragePooling, CSRAClsHead, mlic_mm.DeepLIFTHead, or a head with '
            'a method forward_with_maps'
        )


def forward_with_maps(head: nn.Module, neck: nn.Module | None, feats: Feats) -> tuple[Tensor, Tensor]:
    """Return the head's logits, ``(N, C)``, and the maps of the labels, ``(N, C, h, w)``.

    If the head has its own method ``forward_with_maps(feats)``, which returns the same pair, it is used. Maps by head:

    - Deep-LIFT: the attended maps;
    - mmpretrain's linear head after average pooling: class activation maps (Eq. 1 of attention consistency). Their
      mean over places is the logit without its bias;
    - mmpretrain's CSRA head: the sum of the score maps of its heads.

    Args:
        head: See :func:`check_gives_maps`.
        neck: The neck between backbone and head.
        feats: Stages of the backbone, the last one ``(N, D, h, w)``.
    """
    own = getattr(head, 'forward_with_maps', None)
    if own is None and not isinstance(head, CSRAClsHead):  # linear, after average pooling
        assert neck is not None
        maps = feature_map(feats, map_channels(head), type(head).__name__)
        return head(neck((maps,))), nn.functional.conv2d(maps, head.get_parameter('fc.weight')[:, :, None, None])
    after_neck = neck(feats) if neck is not None else feats
    if own is not None:
        return own(after_neck)
    maps = feature_map(after_neck, map_channels(head), type(head).__name__)
    branches: Any = head.csra_heads
    kernels = [branch.head.weight for branch in branches]  # (C, D, 1, 1)
    kernel = sum(weight / weight.norm(dim=1, keepdim=True) for weight in kernels)
    return head((maps,)), nn.functional.conv2d(maps, kernel)


def map_channels(head: nn.Module) -> int | None:
    """Return the number of channels of the maps that a head takes, or None if the head does not state it."""
    if isinstance(head, CSRAClsHead):
        return head.csra_heads[0].head.in_channels
    return getattr(head, 'in_channels', None)
