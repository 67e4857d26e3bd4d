import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.visualization.report.charts import BOTTOM, LEFT, RIGHT, TOP, Series, histogram, line_chart, ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6))
def test_ticks_lie_in_range_at_equal_steps(low: float, width: float) -> None:
    high = low + width
    if high - low < 1e-9 * max(1, abs(low)):
        return
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    steps = np.diff(found)
    slack = 1e-6 * width + 1e-9 * abs(low)
    np.testing.assert_allclose(steps, steps[0], atol=slack)
    assert found[0] >= low - slack
    assert found[-1] <= high + slack


def test_ticks_by_hand() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(0, 87.3) == [0, 20, 40, 60, 80]
    assert ticks(3, 3.4) == [3, 3.1, 3.2, 3.3, 3.4]


def test_corners_and_gaps() -> None:
    chart = line_chart('a', 'A', 'x', 'y', [Series('one', [0, 1, 2, 3, 4], [0, 1, np.nan, 1, 0])], (0, 4), (0, 1))
    assert chart.drawn[0].line == (
        f'M{LEFT:.1f} {BOTTOM:.1f}L{LEFT + (RIGHT - LEFT) / 4:.1f} {TOP:.1f}'
        f'M{LEFT + 3 * (RIGHT - LEFT) / 4:.1f} {TOP:.1f}L{RIGHT:.1f} {BOTTOM:.1f}'
    )
    assert chart.drawn[0].dots.count('h0') == 4
    assert chart.data['series'][0]['y'] == [0, 1, None, 1, 0]


@pytest.mark.parametrize('values', [[], [np.nan], [0.0], [-3.0, -3.0], [5.0]])
def test_degenerate_series(values: list[float]) -> None:
    chart = line_chart('a', 'A', 'x', 'y', [Series('one', list(range(len(values))), values)])
    text = chart.drawn[0].line + chart.drawn[0].dots
    assert 'nan' not in text
    assert 'inf' not in text
    assert chart.x_ticks
    assert chart.y_ticks


def test_bars_show_square_roots_of_shares() -> None:
    chart = histogram(np.array([0, 1, 3]), np.array([4, 0, 0]), 0, 1)
    middle, half = (TOP + BOTTOM) / 2, (BOTTOM - TOP) / 2
    assert f'V{middle - half * 0.5:.1f}h' in chart.up  # one quarter of the positives
    assert chart.up.count('M') == 2
    assert f'V{BOTTOM:.1f}h' in chart.down  # all of the negatives
    assert chart.down.count('M') == 1
    assert histogram(np.zeros(3, int), np.zeros(3, int), 0, 1).up == ''
