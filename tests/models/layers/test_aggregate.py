import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlic_mm.models.label_graphs.label_graph import with_self_loops
from mlic_mm.models.layers import aggregate, segment_softmax


def random_edges(num_nodes: int, density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    pairs = (torch.rand(num_nodes, num_nodes, generator=generator) < density).nonzero().T
    return with_self_loops(pairs, num_nodes)


def test_segment_softmax_by_hand():
    # Row 0 has scores 0 and ln 3 -> 1/4 and 3/4; row 1 a single edge -> 1.
    score = torch.tensor([0.0, 3.0, -5.0]).where(torch.tensor([True, False, True]), torch.tensor(3.0).log())
    result = segment_softmax(score, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(result, torch.tensor([0.25, 0.75, 1.0]))


def test_segment_softmax_does_not_overflow():
    result = segment_softmax(torch.tensor([1e30, 1e30]), torch.tensor([0, 0]), 1)
    torch.testing.assert_close(result, torch.tensor([0.5, 0.5]))


@given(num_nodes=st.integers(1, 12), density=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_segment_softmax_is_the_masked_row_softmax(num_nodes, density, seed):
    edges = random_edges(num_nodes, density, seed)
    rows, cols = edges
    score = torch.randn(edges.size(1), generator=torch.Generator().manual_seed(seed))
    dense = torch.full((num_nodes, num_nodes), -torch.inf)
    dense[rows, cols] = score
    torch.testing.assert_close(segment_softmax(score, rows, num_nodes), dense.softmax(dim=1)[rows, cols])


def test_aggregate_by_hand():
    edges = torch.tensor([[0, 0, 1], [0, 1, 1]])
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    expected = torch.tensor([[0.5, 1.0], [0.0, 6.0]])
    for sparse in (False, True):
        torch.testing.assert_close(aggregate(torch.tensor([0.5, 0.5, 3.0]), edges, x, sparse), expected)


@pytest.mark.parametrize('seed', range(3))
def test_dense_and_sparse_agree_in_value_and_gradient(seed):
    edges = random_edges(40, 0.1, seed)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(edges.size(1), generator=generator)
    x = torch.randn(40, 16, generator=generator)
    probe = torch.randn(40, 16, generator=generator)
    grads = []
    for sparse in (False, True):
        leaves = [t.clone().requires_grad_() for t in (weight, x)]
        out = aggregate(leaves[0], edges, leaves[1], sparse)
        grads.append([out, *torch.autograd.grad((out * probe).sum(), leaves)])
    for dense, sparse in zip(*grads, strict=True):
        torch.testing.assert_close(dense, sparse, atol=1e-5, rtol=1e-5)


def test_sparse_path_compiles_to_one_graph_with_the_same_gradient():
    edges = random_edges(10, 0.3, 0)
    compiled = torch.compile(aggregate, fullgraph=True, backend='aot_eager')
    grads = []
    for function in (aggregate, compiled):
        leaves = [
            torch.linspace(-1, 1, edges.size(1)).requires_grad_(),
            torch.arange(40.0).view(10, 4).requires_grad_(),
        ]
        out = function(leaves[0], edges, leaves[1], sparse=True)
        grads.append([out, *torch.autograd.grad(out.sin().sum(), leaves)])
    for eager, traced in zip(*grads, strict=True):
        torch.testing.assert_close(eager, traced, atol=1e-5, rtol=1e-5)


def test_sparse_path_works_under_autocast():
    edges = random_edges(10, 0.3, 0)
    x = torch.randn(10, 4, dtype=torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = aggregate(torch.rand(edges.size(1)), edges, x, sparse=True)
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()
