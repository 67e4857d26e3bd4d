"""Graph convolution with fixed weights (Deep-LIFT, section III-B.1)."""

from torch import Tensor, nn

from .aggregate import aggregate


class GraphConv(nn.Module):
    """Graph convolution ``Y = Â X W + b`` (Deep-LIFT, Eq. 2, without its activation).

    Args:
        in_channels: ``d``.
        out_channels: ``d'``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, edges: Tensor, weight: Tensor, sparse: bool) -> Tensor:
        """Propagate and project.

        Args:
            x: Node features, ``(C, d)``.
            edges: ``(2, E)`` with self-loops.
            weight: Normalised adjacency at the edges, ``(E,)``.
            sparse: See :func:`aggregate`.

        Returns:
            ``(C, d')``
        """
        return self.linear(aggregate(weight, edges, x, sparse))
