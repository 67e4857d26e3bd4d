"""Weighted neighbour sums over a label graph given as an edge list."""

import torch
from torch import Tensor


def segment_softmax(score: Tensor, rows: Tensor, num_nodes: int) -> Tensor:
    """Return the softmax of edge scores over the edges that share a row.

    Args:
        score: One score an edge, ``(E,)``.
        rows: Row of each edge, ``(E,)``, in ``[0, num_nodes)``.
        num_nodes: ``C``.

    Returns:
        ``(E,)``; the values of a row sum to 1.

    Example:
        >>> segment_softmax(torch.zeros(3), torch.tensor([0, 0, 1]), 2)
        tensor([0.5000, 0.5000, 1.0000])
    """
    peak = score.new_full((num_nodes,), -torch.inf).scatter_reduce(0, rows, score.detach(), 'amax')
    exp = (score - peak[rows]).exp()
    total = exp.new_zeros(num_nodes).index_add(0, rows, exp)
    return exp / total[rows]


def aggregate(weight: Tensor, edges: Tensor, x: Tensor, sparse: bool) -> Tensor:
    """Return ``G @ x``, where ``G`` has the values ``weight`` at ``edges`` and 0 elsewhere.

    The dense path builds ``G`` as ``(C, C)``, which is fastest for the usual data sets with less than 100 labels. Time
    and memory of the sparse path grow with ``E`` instead of ``C²``, in the backward pass too.

    Args:
        weight: Weights of the edges, ``(E,)``, differentiable.
        edges: Rows and columns, ``(2, E)``, sorted by row, then column, without duplicates.
        x: Node features, ``(C, d)``, differentiable.
        sparse: Take the sparse path.

    Returns:
        ``(C, d)``

    Example:
        >>> edges, weight = torch.tensor([[0, 0, 1], [0, 1, 1]]), torch.tensor([1.0, 2.0, 3.0])
        >>> aggregate(weight, edges, torch.tensor([[1.0], [10.0]]), sparse=False).flatten()
        tensor([21., 30.])
    """
    rows, cols = edges
    num_nodes = x.size(0)
    if not sparse:
        dense = x.new_zeros(num_nodes, num_nodes).index_put((rows, cols), weight.to(x.dtype))
        return dense @ x
    if torch.compiler.is_compiling():  # or exporting; neither supports sparse matrices
        messages = weight.float()[:, None] * x.float()[cols]  # (E, d)
        return messages.new_zeros(x.shape).index_add(0, rows, messages).to(x.dtype)
    # torch has no half-precision sparse product, so autocast must not change this one.
    with torch.autocast(x.device.type, enabled=False):
        crow = torch.zeros(num_nodes + 1, dtype=torch.long, device=x.device)
        crow[1:] = torch.bincount(rows, minlength=num_nodes).cumsum(0)
        matrix = torch.sparse_csr_tensor(crow, cols, weight.float(), (num_nodes, num_nodes), check_invariants=False)
        return (matrix @ x.float()).to(x.dtype)
