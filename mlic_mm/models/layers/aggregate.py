"""Weighted neighbour sums over a label graph given as an edge list."""

import torch
from torch import Tensor


def segment_softmax(score: Tensor, rows: Tensor, num_nodes: int) -> Tensor:
    """Softmax of edge scores over the edges that share a row.

    Args:
        score: ``(E,)`` one score an edge.
        rows: ``(E,)`` the row of each edge, in ``[0, num_nodes)``.
        num_nodes: ``C``.

    Returns:
        ``(E,)``; the values of a row sum to 1.
    """
    peak = score.new_full((num_nodes,), -torch.inf).scatter_reduce(0, rows, score.detach(), 'amax')
    exp = (score - peak[rows]).exp()
    total = exp.new_zeros(num_nodes).index_add(0, rows, exp)
    return exp / total[rows]


def aggregate(weight: Tensor, edges: Tensor, x: Tensor, sparse: bool) -> Tensor:
    """``G @ x`` where ``G`` holds ``weight`` at ``edges`` and 0 elsewhere.

    The dense path scatters ``G`` to ``(C, C)``: fastest for the some tens of labels of the usual data sets. The sparse
    path costs time and memory in ``E`` instead of ``C²``, in the backward pass too.

    Args:
        weight: ``(E,)`` edge weights, differentiable.
        edges: ``(2, E)`` rows and columns, sorted by row, then column, without duplicates.
        x: ``(C, d)`` node features, differentiable.
        sparse: which path.

    Returns:
        ``(C, d)``
    """
    rows, cols = edges
    num_nodes = x.size(0)
    if not sparse:
        dense = x.new_zeros(num_nodes, num_nodes).index_put((rows, cols), weight.to(x.dtype))
        return dense @ x
    if torch.compiler.is_compiling():  # exporting as well; neither knows sparse matrices
        messages = weight.float()[:, None] * x.float()[cols]  # (E, d)
        return messages.new_zeros(x.shape).index_add(0, rows, messages).to(x.dtype)
    # torch has no half-precision sparse product, so autocast must not touch this one.
    with torch.autocast(x.device.type, enabled=False):
        crow = torch.zeros(num_nodes + 1, dtype=torch.long, device=x.device)
        crow[1:] = torch.bincount(rows, minlength=num_nodes).cumsum(0)
        matrix = torch.sparse_csr_tensor(crow, cols, weight.float(), (num_nodes, num_nodes), check_invariants=False)
        return (matrix @ x.float()).to(x.dtype)
