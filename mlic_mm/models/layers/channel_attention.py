"""Attention over label channels (Deep-LIFT, section III-D)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mlic_mm.utils.choices import check_choice

Pooling = Literal['avg', 'max', 'both']
"""Which pooled maps are used."""


class ChannelAttention(nn.Module):
    """Gate ``M_c(A) = σ(MLP(avg-pool A) + MLP(max-pool A))`` (Deep-LIFT, Eq. 6) and its product with ``A`` (Eq. 7).

    Args:
        channels: Number of maps ``C``.
        pooling: Which pooled maps the shared MLP takes (Table IV).
        hidden: Width of the MLP's hidden layer.

    Raises:
        ValueError: ``pooling`` is unknown.
    """

    def __init__(self, channels: int, pooling: Pooling = 'both', hidden: int = 16) -> None:
        super().__init__()
        check_choice('pooling', pooling, get_args(Pooling))
        self.pooling = pooling
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))

    def gate(self, maps: Tensor) -> Tensor:
        """Return the gate ``(N, C)``, in (0, 1), of maps ``(N, C, H, W)``."""
        score = maps.new_zeros(())
        if self.pooling != 'max':
            score = score + self.mlp(maps.mean(dim=(2, 3)))
        if self.pooling != 'avg':
            score = score + self.mlp(maps.amax(dim=(2, 3)))
        return torch.sigmoid(score)

    def forward(self, maps: Tensor) -> Tensor:
        """Return gated maps of the same shape as ``maps``, ``(N, C, H, W)``."""
        return maps * self.gate(maps)[:, :, None, None]
