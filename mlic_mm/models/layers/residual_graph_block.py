"""Residual block of graph convolutions (Deep-LIFT, section III-B.3)."""

from torch import Tensor, nn

from .graph_conv import GraphConv


class ResidualGraphBlock(nn.Module):
    """Two graph convolutions of equal width with an identity shortcut (Deep-LIFT, Eq. 4, Fig. 4).

    Args:
        channels: Width ``d`` of input and output.
        negative_slope: Slope of the LeakyReLUs.
    """

    def __init__(self, channels: int, negative_slope: float = 0.2) -> None:
        super().__init__()
        self.conv1 = GraphConv(channels, channels)
        self.conv2 = GraphConv(channels, channels)
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor, edges: Tensor, weight: Tensor, sparse: bool) -> Tensor:
        """Return node features ``(C, d)``; arguments as in :meth:`GraphConv.forward`."""
        residual = self.conv2(self.act(self.conv1(x, edges, weight, sparse)), edges, weight, sparse)
        return self.act(x + residual)
