"""The fully connected layers of VGG after an adaptive pooling."""

import torch.nn.functional as F
from mmengine.model import Sequential
from torch import Tensor, nn

from mlic_mm.models.layers import feature_map
from mlic_mm.registry import MODELS


@MODELS.register_module()
class VGGNeck(Sequential):
    """fc6 and fc7 of VGG for maps of any size, which are pooled to 7 × 7 first.

    `VGG <https://arxiv.org/abs/1409.1556>`_ (Simonyan & Zisserman 2015). Layers have the numbers of mmpretrain's and
    torchvision's ``classifier``, so those weights load into this neck:
    ``init_cfg=dict(type='Pretrained', checkpoint=…, prefix='backbone.classifier.')``.

    Args:
        in_channels: Channels of the map.
        out_channels: Width of both layers, 4096 in the published weights.
        init_cfg: Initialisation config of mmengine.

    Examples:
        >>> import torch
        >>> neck = MODELS.build(dict(type='mlic_mm.VGGNeck', in_channels=8, out_channels=16))
        >>> neck((torch.rand(1, 8, 5, 9),))[0].shape
        torch.Size([1, 16])
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
        """Return features ``(N, out_channels)`` of the backbone's last map ``(N, in_channels, H, W)``."""
        return (super().forward(F.adaptive_avg_pool2d(feature_map(feats, self.in_channels, 'VGGNeck'), 7).flatten(1)),)
