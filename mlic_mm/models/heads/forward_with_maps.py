"""Maps per label beside the logits, from heads that have such maps."""

from mmpretrain.models.heads import CSRAClsHead, MultiLabelLinearClsHead
from mmpretrain.models.necks import GlobalAveragePooling
from torch import Tensor, nn

__all__ = ['check_gives_maps', 'forward_with_maps']

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
    after_neck = neck(feats) if neck is not None else feats
    own = getattr(head, 'forward_with_maps', None)
    if own is not None:
        return own(after_neck)
    logits = head(after_neck)
    if isinstance(head, CSRAClsHead):
        kernels = [branch.head.weight for branch in head.csra_heads]  # (C, D, 1, 1)
        kernel = sum(weight / weight.norm(dim=1, keepdim=True) for weight in kernels)
        return nn.functional.conv2d(after_neck[-1], kernel), logits
    return nn.functional.conv2d(feats[-1], head.get_parameter('fc.weight')[:, :, None, None]), logits
