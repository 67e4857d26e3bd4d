"""Patch expansion of the spatial-context network, section 2.3."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.models.layers import ContextExpand
from mlic_mm.registry import TASK_UTILS

side = st.floats(0, 100)


def test_by_hand() -> None:
    boxes = torch.tensor([[40.0, 30, 60, 40], [0, 0, 20, 10], [70, 40, 100, 50]])
    expanded = ContextExpand(1.5)(boxes, (50, 100))
    # 20 × 10 grows to 30 × 15 about (50, 35); the others are cut where they leave 100 × 50.
    assert expanded.tolist() == [[35, 27.5, 65, 42.5], [0, 0, 25, 12.5], [62.5, 37.5, 100, 50]]
    assert boxes[0].tolist() == [40, 30, 60, 40]  # the caller's boxes stay


@pytest.mark.parametrize('ratio', [0.99, 0, -1, float('nan')])
def test_a_ratio_that_cuts_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=r'ratio=.* must be a number at least 1'):
        ContextExpand(ratio)


def test_no_boxes_and_the_registry() -> None:
    expand = TASK_UTILS.build(dict(type='mlic_mm.ContextExpand', ratio=2.0))
    assert expand(torch.zeros(0, 4), (8, 8)).shape == (0, 4)
    assert repr(expand) == 'ContextExpand(ratio=2.0)'


@given(side, side, side, side, st.floats(1, 4))
def test_holds_the_box_and_stays_in_the_image(x1: float, y1: float, x2: float, y2: float, ratio: float) -> None:
    """A box of the image lies in its patch, the patch in the image; doubles leave no room for rounding to matter."""
    box = torch.tensor([[min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]], dtype=torch.float64)
    small, large = (ContextExpand(r)(box, (100, 100))[0] for r in (ratio, ratio + 1))
    tolerance = 1e-9
    assert (small[:2] <= box[0, :2] + tolerance).all()
    assert (small[2:] >= box[0, 2:] - tolerance).all()
    assert (large[:2] <= small[:2] + tolerance).all()
    assert (large[2:] >= small[2:] - tolerance).all()
    assert small.min() >= 0
    assert small.max() <= 100
    free = ContextExpand(ratio)(box, (10**6, 10**6))[0]
    if free.min() > 0:
        torch.testing.assert_close(free[:2] + free[2:], box[0, :2] + box[0, 2:])
        torch.testing.assert_close(free[2:] - free[:2], ratio * (box[0, 2:] - box[0, :2]))
