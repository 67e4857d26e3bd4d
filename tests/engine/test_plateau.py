"""The end of a fall is found as torch's ReduceLROnPlateau finds it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.engine.plateau import Plateau


def first(values: list[float], patience: int, min_delta: float) -> int | None:
    """Return how many values it takes."""
    plateau = Plateau(patience, min_delta)
    return next((count for count, value in enumerate(values, 1) if plateau.reached(value)), None)


@pytest.mark.parametrize(
    ('values', 'patience', 'min_delta', 'expected'),
    [
        ([1.0, 0.5, 0.46, 0.4], 1, 0.1, 3),  # 0.46 is 8 % below 0.5
        ([1.0, 0.5, 0.46, 0.44, 0.5], 2, 0.1, None),  # 0.44 is 12 % below 0.5: compared with the best, not the last
        ([1.0, 0.5, 0.46, 0.45, 0.1], 2, 0.1, 4),  # exactly 10 % is not more than 10 %
        ([1.0, 2.0, 0.9, 3.0, 4.0], 2, 0.0, 5),  # rises wait, a fall begins anew
        ([1.0, 1.0], 1, 0.0, 2),
        ([1.0], 1, 0.5, None),
        ([-1.0, -1.05, -1.2, -1.3], 1, 0.1, 2),  # a share of the size: below −1.1 would be a fall
        ([-1.0, -1.2, -1.3], 1, 0.1, 3),
        ([0.0, 0.0], 1, 0.1, 2),
        ([0.0, -1e-9], 1, 0.1, None),
    ],
)
def test_by_hand(values: list[float], patience: int, min_delta: float, expected: int | None) -> None:
    assert first(values, patience, min_delta) == expected


@pytest.mark.parametrize('odd', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_out(odd: float) -> None:
    values = [1.0, 0.5, 0.5, 0.5]
    assert first(values, 2, 0.1) == 4
    for place in range(4):
        assert first([*values[:place], odd, odd, *values[place:]], 2, 0.1) == 6
    assert first([odd] * 50, 1, 0.1) is None


@given(
    st.lists(st.floats(1e-3, 10), min_size=1, max_size=20),
    st.integers(1, 4),
    st.floats(0, 0.9),
)
def test_as_torch_counts(values: list[float], patience: int, min_delta: float) -> None:
    """It lowers the rate once more than ``patience`` values have not fallen."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=patience - 1, threshold=min_delta, threshold_mode='rel'
    )
    expected = None
    for count, value in enumerate(values, 1):
        scheduler.step(value)
        if optimizer.param_groups[0]['lr'] < 1:
            expected = count
            break
    assert first(values, patience, min_delta) == expected
