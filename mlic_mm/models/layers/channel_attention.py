"""Attention over label channels (Deep-LIFT, section III-D)."""

import torch
from torch import Tensor, nn

POOLINGS = ('none', 'avg', 'max', 'both')


class ChannelAttention(nn.Module):
    """Gate ``M_c(A) = σ(MLP(avg-pool A) + MLP(max-pool A))`` (Deep-LIFT Eq. 6) and its product with ``A`` (Eq. 7).

    Args:
        channels: Number of maps ``C``.
        pooling: ``'avg'``, ``'max'`` or ``'both'``: which pooled maps the shared MLP sees (Table IV).
        hidden: Width of the MLP's hidden layer.

    Raises:
        ValueError: Unknown ``pooling``.
    """

    def __init__(self, channels: int, pooling: str = 'both', hidden: int = 16) -> None:
        super().__init__()
        if pooling not in POOLINGS[1:]:
            raise ValueError(f"pooling of ChannelAttention is {pooling!r}; choose 'avg', 'max' or 'both'")
        self.pooling = pooling
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))

    def gate(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` maps to the gate ``(N, C)`` in (0, 1)."""
        score = maps.new_zeros(())
        if self.pooling != 'max':
            score = score + self.mlp(maps.mean(dim=(2, 3)))
        if self.pooling != 'avg':
            score = score + self.mlp(maps.amax(dim=(2, 3)))
        return torch.sigmoid(score)

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` maps to gated maps of the same shape."""
        return maps * self.gate(maps)[:, :, None, None]
