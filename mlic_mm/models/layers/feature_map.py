"""The last feature map of a backbone, whatever its layout."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ['channels_first', 'feature_map']


def channels_first(feat: Tensor, channels: int | None) -> Tensor:
    """Return ``(N, D, H, W)`` of a map ``(N, H, W, D)``, as timm's Swin gives them; anything else stays as it is."""
    last = feat.dim() == 4 and feat.size(1) != channels and feat.size(3) == channels
    return feat.permute(0, 3, 1, 2) if last else feat


def feature_map(feats: Sequence[Tensor], channels: int | None, user: str) -> Tensor:
    """Return the last stage as ``(N, D, H, W)``.

    Args:
        feats: Stages of the backbone.
        channels: ``D``; None takes any map for one with the channels first.
        user: Who needs it, for the message.

    Raises:
        ValueError: It is no map, or one of other channels.
    """
    feat = channels_first(feats[-1], channels)
    if feat.dim() == 4 and channels in (None, feat.size(1)):
        return feat
    if feat.dim() == 4:
        cure = f'set in_channels to the width of the last stage, {feat.size(1)}, or {feat.size(3)} if channels are last'
    elif feat.dim() == 3:
        cure = (
            "these are tokens (N, L, D). mmpretrain's transformers give maps with out_type='featmap', "
            'mmpretrain.TIMMBackbone with features_only=True'
        )
    else:
        cure = (
            "this is no map. Leave out necks that pool; mmpretrain's transformers give maps with out_type='featmap', "
            'mmpretrain.TIMMBackbone with features_only=True'
        )
    raise ValueError(f'{user} needs a feature map (N, {channels or "D"}, H, W), got {tuple(feat.shape)}: {cure}')
