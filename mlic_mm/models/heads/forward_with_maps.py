"""Logits and maps of the labels, from heads that have a map per label."""

from typing import Any

from mmpretrain.models.heads import CSRAClsHead, MultiLabelLinearClsHead
from mmpretrain.models.necks import GlobalAveragePooling
from torch import Tensor, nn

from mlic_mm.models.layers import feature_map

__all__ = ['check_gives_maps', 'forward_with_maps', 'head_with_maps', 'map_channels', 'split_neck']

Feats = tuple[Tensor, ...]


def check_gives_maps(head: nn.Module, neck: nn.Module | None, user: str = '') -> None:
    """Check that :func:`forward_with_maps` knows the maps of a head.

    Args:
        head: The head.
        neck: The neck before it.
        user: Who needs the maps, and for what: the begin of the message.

    Raises:
        ValueError: The head has no maps; the message says which heads have maps.
    """
    linear = isinstance(head, MultiLabelLinearClsHead) and split_neck(neck)[1] is not None
    if not (hasattr(head, 'forward_with_maps') or isinstance(head, CSRAClsHead) or linear):
        raise ValueError(
            f'{f"{user}: " if user else ""}{type(head).__name__} after neck {type(neck).__name__ if neck else None} '
            'has no map per label: use MultiLabelLinearClsHead after GlobalAveragePooling, CSRAClsHead, '
            'mlic_mm.DeepLIFTHead, or a head with a method forward_with_maps'
        )


def split_neck(neck: nn.Module | None) -> tuple[nn.Module | None, nn.Module | None]:
    """Return the part of a neck before average pooling, and the pooling; None if the neck has no such part."""
    if isinstance(neck, GlobalAveragePooling):
        return None, neck
    if isinstance(neck, nn.Sequential) and len(neck) and isinstance(neck[-1], GlobalAveragePooling):
        return (neck[:-1] if len(neck) > 1 else None), neck[-1]
    return neck, None


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
    before, pooling = split_neck(neck)
    return head_with_maps(head, pooling, before(feats) if before is not None else feats)


def head_with_maps(head: nn.Module, pooling: nn.Module | None, feats: Feats) -> tuple[Tensor, Tensor]:
    """Do as :func:`forward_with_maps`, after the part of the neck before its pooling, see :func:`split_neck`."""
    own = getattr(head, 'forward_with_maps', None)
    if own is not None:
        return own(pooling(feats) if pooling is not None else feats)
    maps = feature_map(feats, map_channels(head), type(head).__name__)
    if not isinstance(head, CSRAClsHead):  # linear, after average pooling
        assert pooling is not None
        return head(pooling((maps,))), nn.functional.conv2d(maps, head.get_parameter('fc.weight')[:, :, None, None])
    branches: Any = head.csra_heads
    kernels = [branch.head.weight for branch in branches]  # (C, D, 1, 1)
    kernel = sum(weight / weight.norm(dim=1, keepdim=True) for weight in kernels)
    return head((maps,)), nn.functional.conv2d(maps, kernel)


def map_channels(head: nn.Module) -> int | None:
    """Return the number of channels of the maps that a head takes, or None if the head does not state it."""
    if isinstance(head, CSRAClsHead):
        return head.csra_heads[0].head.in_channels
    return getattr(head, 'in_channels', getattr(head, 'map_channels', None))
