"""Graph convolution with learned weights (Deep-LIFT, section III-B.2)."""

import torch
from torch import Tensor, nn

from .aggregate import aggregate, segment_softmax


class AttentionGraphConv(nn.Module):
    """Graph convolution with learned aggregation ``Y = [X ‖ G X] W + b`` (Deep-LIFT, Eq. 3, without its activation).

    ``G`` is the row-wise softmax of a score of the pair ``(x_i, x_j)``, over the neighbours only. The first layer of an
    MLP on a concatenation is a sum of one term per node. The layer therefore computes one score per edge and builds
    nothing of size ``C × C × 2d``.

    Paper: a two-layer MLP scores the pair. Here: with ``hidden=None``, the score is that of `graph attention networks
    <https://arxiv.org/abs/1710.10903>`_: one vector per side and a LeakyReLU. A number gives the two-layer MLP of that
    width.

    Args:
        in_channels: ``d``.
        out_channels: ``d'``.
        hidden: Width of the scoring MLP, or None for graph attention scoring.
        negative_slope: Slope of the LeakyReLU.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int | None = None, negative_slope: float = 0.2
    ) -> None:
        super().__init__()
        width = hidden or 1
        self.linear = nn.Linear(2 * in_channels, out_channels)
        self.score_row = nn.Linear(in_channels, width, bias=hidden is not None)
        self.score_col = nn.Linear(in_channels, width, bias=False)
        self.act = nn.LeakyReLU(negative_slope)
        self.score_out = nn.Linear(width, 1, bias=False) if hidden else nn.Identity()

    def attention(self, x: Tensor, edges: Tensor) -> Tensor:
        """Return the weights ``G`` at the edges: ``(C, d)`` and ``(2, E)`` to ``(E,)``. Rows sum to 1."""
        rows, cols = edges
        pair = self.act(self.score_row(x)[rows] + self.score_col(x)[cols])  # (E, width)
        score = self.score_out(pair).squeeze(-1).float()  # (E,)
        return segment_softmax(score, rows, x.size(0))

    def forward(self, x: Tensor, edges: Tensor, sparse: bool) -> Tensor:
        """Attend to the neighbours and project.

        Args:
            x: Node features, ``(C, d)``.
            edges: ``(2, E)`` with self-loops, so that no row is empty.
            sparse: See :func:`aggregate`.

        Returns:
            ``(C, d')``
        """
        neighbours = aggregate(self.attention(x, edges), edges, x, sparse)
        return self.linear(torch.cat([x, neighbours], dim=-1))
