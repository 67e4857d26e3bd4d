import pytest
import torch
from torch import nn

from mlic_mm.models.layers import ChannelAttention


def identity_mlp(attention: ChannelAttention) -> ChannelAttention:
    for layer in (attention.mlp[0], attention.mlp[2]):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    return attention


@pytest.mark.parametrize(('pooling', 'pooled'), [('avg', [1.0, 2.0]), ('max', [2.0, 4.0]), ('both', [3.0, 6.0])])
def test_gate_by_hand(pooling, pooled):
    attention = identity_mlp(ChannelAttention(2, pooling, hidden=2))
    maps = torch.tensor([[[[0.0, 2.0]], [[0.0, 4.0]]]])  # (1, 2, 1, 2): means 1, 2, maxima 2, 4
    gate = torch.sigmoid(torch.tensor([pooled]))
    torch.testing.assert_close(attention.gate(maps), gate)
    torch.testing.assert_close(attention(maps), maps * gate[:, :, None, None])


def test_one_mlp_serves_both_poolings():
    assert sum(p.numel() for p in ChannelAttention(80, 'both').parameters()) == sum(
        p.numel() for p in ChannelAttention(80, 'avg').parameters()
    )


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match='mean'):
        ChannelAttention(2, 'mean')
