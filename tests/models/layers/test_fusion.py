"""Fusion of the branches' probabilities."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.models.layers import Fusion, fuse_logits

REDUCE = dict(mean=lambda p: p.mean(0), max=lambda p: p.amax(0), product=lambda p: p.prod(0))


def test_by_hand() -> None:
    """Probabilities 3/4 and 1/4."""
    logits = torch.tensor([[math.log(3)], [-math.log(3)]])
    expected = dict(mean=1 / 2, max=3 / 4, product=3 / 16)
    for how, value in expected.items():
        assert fuse_logits(logits, how).sigmoid().item() == pytest.approx(value)


@given(st.lists(st.lists(st.floats(-12, 12), min_size=3, max_size=3), min_size=1, max_size=4))
def test_same_as_fusing_probabilities(values: list[list[float]]) -> None:
    logits = torch.tensor(values, dtype=torch.float64)
    for how, reduce in REDUCE.items():
        torch.testing.assert_close(fuse_logits(logits, how), reduce(logits.sigmoid()).logit(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('how', get_args(Fusion))
def test_finite_and_in_order_where_probabilities_round(how: str) -> None:
    for low, high in ([(-200, -200), (-150, -200)], [(90, 90), (100, 100)], [(300, -300), (400, -300)]):
        a, b = (fuse_logits(torch.tensor([[float(x)], [float(y)]], requires_grad=True), how) for x, y in (low, high))
        assert torch.isfinite(a)
        assert torch.isfinite(b)
        if how != 'product' or low[1] == low[0]:  # of a product with p = e^-300 only the small factor is left
            assert b >= a
    logits = torch.tensor([[60.0], [-60.0]], requires_grad=True)
    fuse_logits(logits, how).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_unknown_fusion() -> None:
    with pytest.raises(ValueError, match=r"fusion='median' must be one of mean, max, product"):
        fuse_logits(torch.zeros(2, 3), 'median')
