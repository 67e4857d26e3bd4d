import pytest
import torch
from torch import nn

from mlic_mm.models.layers import AttentionGraphConv, GraphConv, ResidualGraphBlock

EDGES = torch.tensor([[0, 0, 1, 2, 2], [0, 1, 1, 0, 2]])  # 0 sees 0 and 1, 1 itself, 2 sees 0 and 2


def test_graph_conv_by_hand():
    layer = GraphConv(2, 1)
    nn.init.constant_(layer.linear.weight, 1.0)
    nn.init.constant_(layer.linear.bias, 0.25)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    weight = torch.tensor([0.5, 0.5, 1.0, 0.1, 0.9])
    # Row 0: 0.5*(1+2) + 0.5*(3+4) = 5; row 1: 7; row 2: 0.1*3 + 0.9*11 = 10.2.
    expected = torch.tensor([[5.25], [7.25], [10.45]])
    torch.testing.assert_close(layer(x, EDGES, weight, sparse=False), expected)


def attention_by_loops(layer: AttentionGraphConv, x: torch.Tensor, hidden: bool) -> torch.Tensor:
    """The pair scores of Eq. 3 written out on concatenated pairs, as the paper states them."""
    dense = torch.zeros(len(x), len(x))
    matrix = torch.cat([layer.score_row.weight, layer.score_col.weight], dim=1)  # (width, 2d)
    for i in range(len(x)):
        neighbours = EDGES[1][EDGES[0] == i]
        scores = []
        for j in neighbours:
            pair = matrix @ torch.cat([x[i], x[j]])
            if hidden:
                pair = pair + layer.score_row.bias
            pair = torch.where(pair > 0, pair, 0.2 * pair)
            scores.append((layer.score_out.weight @ pair).squeeze() if hidden else pair.squeeze())
        dense[i, neighbours] = torch.stack(scores).softmax(dim=0)
    return dense


@pytest.mark.parametrize('hidden', [None, 5])
@pytest.mark.parametrize('sparse', [False, True])
def test_attention_layer_equals_its_definition_on_concatenated_pairs(hidden, sparse):
    torch.manual_seed(0)
    layer = AttentionGraphConv(4, 3, hidden)
    x = torch.randn(3, 4)
    dense = attention_by_loops(layer, x, hidden is not None)
    torch.testing.assert_close(dense.sum(dim=1), torch.ones(3))
    expected = torch.cat([x, dense @ x], dim=1) @ layer.linear.weight.T + layer.linear.bias
    torch.testing.assert_close(layer(x, EDGES, sparse), expected)


def test_attention_ignores_labels_that_are_no_neighbours():
    torch.manual_seed(0)
    layer = AttentionGraphConv(4, 3)
    x = torch.randn(3, 4)
    before = layer(x, EDGES, sparse=False)
    after = layer(torch.cat([x[:2], torch.randn(1, 4)]), EDGES, sparse=False)
    torch.testing.assert_close(before[:2], after[:2], atol=0, rtol=0)  # nobody but 2 sees 2
    assert not torch.allclose(before[2], after[2])


@pytest.mark.parametrize(('d_in', 'd_out', 'paper'), [(300, 1024, 615_424), (1024, 2048, 4_196_352)])
def test_attention_layer_has_the_stated_parameters(d_in, d_out, paper):
    layer = AttentionGraphConv(d_in, d_out)
    assert sum(p.numel() for p in layer.linear.parameters()) == paper
    # Scoring adds one vector a side, which the paper's count leaves out.
    assert sum(p.numel() for p in layer.parameters()) == paper + 2 * d_in


def test_residual_block_is_the_identity_where_its_convolutions_give_zero():
    block = ResidualGraphBlock(4)
    for conv in (block.conv1, block.conv2):
        nn.init.zeros_(conv.linear.weight)
        nn.init.zeros_(conv.linear.bias)
    x = torch.rand(3, 4)
    torch.testing.assert_close(block(x, EDGES, torch.ones(5), sparse=False), x)
