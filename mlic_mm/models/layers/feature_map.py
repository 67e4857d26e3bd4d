"""The last feature map of a backbone, with channels first or last."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ['channels_first', 'feature_map']


def channels_first(feat: Tensor, channels: int | None) -> Tensor:
    """Return a map ``(N, H, W, D)``, as timm's Swin gives it, as ``(N, D, H, W)``; return other tensors unchanged."""
    last = feat.dim() == 4 and feat.size(1) != channels and feat.size(3) == channels
    return feat.permute(0, 3, 1, 2) if last else feat


def feature_map(feats: Sequence[Tensor] | Tensor, channels: int | None, user: str) -> Tensor:
    """Return the last stage as ``(N, D, H, W)``.

    Args:
        feats: Stages of the backbone, or the last one alone, as a backbone of plain PyTorch gives it.
        channels: ``D``; with None, any map counts as one with the channels first.
        user: Name of the class that needs the map, for the message.

    Raises:
        ValueError: The last stage is no map, or has other channels.
    """
    feat = channels_first(feats if isinstance(feats, Tensor) else feats[-1], channels)
    if feat.dim() == 4 and channels in (None, feat.size(1)):
        return feat
    if feat.dim() == 4:
        cure = f'set in_channels to the width of the last stage, {feat.size(1)}, or {feat.size(3)} if channels are last'
    else:
        what = 'a list of tokens (N, L, D)' if feat.dim() == 3 else 'no map, as after a neck that pools'
        cure = (
            f"this is {what}; mmpretrain's transformers give maps with out_type='featmap', mmpretrain.TIMMBackbone "
            'with features_only=True, and neck=mlic_mm.TokensToMap turns all tokens into one'
        )
    raise ValueError(f'{user} needs a feature map (N, {channels or "D"}, H, W), got {tuple(feat.shape)}: {cure}')
