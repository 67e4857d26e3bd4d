"""The fully connected layers of VGG behind an adaptive pooling."""

import torch.nn.functional as F
from mmengine.model import Sequential
from torch import Tensor, nn

from mlic_mm.models.layers import feature_map
from mlic_mm.registry import MODELS


@MODELS.register_module()
class VGGNeck(Sequential):
    """fc6 and fc7 of VGG (Simonyan & Zisserman 2015) for maps of any size, which are pooled to 7 × 7 first.

    Layers are numbered as in mmpretrain's and torchvision's ``classifier``, so its weights load into it:
    ``init_cfg=dict(type='Pretrained', checkpoint=…, prefix='backbone.classifier.')``.

    Args:
        in_channels: Channels of the map.
        out_channels: Width of both layers, 4096 in the published weights.
        init_cfg: Of mmengine.
    """

    def __init__(self, in_channels: int = 512, out_channels: int = 4096, init_cfg: dict | None = None) -> None:
        super().__init__(
            nn.Linear(in_channels * 7 * 7, out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(out_channels, out_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            init_cfg=init_cfg,
        )
        self.in_channels = in_channels

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Features ``(N, out_channels)`` of the last of the backbone's maps ``(N, in_channels, H, W)``."""
        return (super().forward(F.adaptive_avg_pool2d(feature_map(feats, self.in_channels, 'VGGNeck'), 7).flatten(1)),)
