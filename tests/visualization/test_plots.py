"""What the plots in files share."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlic_mm.visualization.plots import gain_bars, name_axis, save_plot


@pytest.mark.parametrize('axis', ['x', 'y'])
def test_names_are_cut_escaped_and_no_mathematics(axis: str) -> None:
    axes = Figure().subplots()
    name_axis(axes, ['a' * 99, 'bell\x07', r'$\frac{a}$ $'], axis, [' (1)', '', ''])
    ticks = axes.get_xticklabels() if axis == 'x' else axes.get_yticklabels()
    assert [tick.get_text() for tick in ticks] == ['a' * 39 + '… (1)', 'bell\\x07', r'$\frac{a}$ $']
    assert not any(tick.get_parse_math() for tick in ticks)


def test_gains_and_losses_have_colours_and_a_mean() -> None:
    for horizontal in (False, True):
        axes = Figure().subplots()
        assert gain_bars(axes, np.array([3.0, -1.0]), horizontal) == 1
        ends = [patch.get_width() if horizontal else patch.get_height() for patch in axes.patches]
        assert ends == [3, -1]
        assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert gain_bars(Figure().subplots(), np.zeros(0)) == 0


@pytest.mark.parametrize('ending', ['svg', 'pdf', 'png'])
def test_the_same_figure_gives_the_same_bytes(ending: str, tmp_path: Path) -> None:
    files = [tmp_path / f'{name}.{ending}' for name in 'ab']
    for file in files:
        figure = Figure()
        gain_bars(figure.subplots(), np.array([1.0]))
        save_plot(figure, file)
    assert files[0].read_bytes() == files[1].read_bytes()
