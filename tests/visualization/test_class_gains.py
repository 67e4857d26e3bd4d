"""Gains of AP by label: order, values, intervals, and the plot."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from mlic_mm.evaluation import average_precision, paired_bootstrap
from mlic_mm.visualization.class_gains import ClassGains, class_gains, plot_class_gains
from mlic_mm.visualization.plots import GAIN, LOSS

RNG = np.random.default_rng(0)
TARGETS = (RNG.random((60, 4)) < [0.1, 0.4, 0, 0.7]).astype(np.int8)
TARGETS[0] = [1, 1, -1, -1]
CLASSES = ('rare', 'usual', 'absent', 'frequent')


def runs(noise: float, number: int) -> list[np.ndarray]:
    return [TARGETS + noise * np.random.default_rng([int(noise * 10), i]).normal(size=(60, 4)) for i in range(number)]


def test_frequent_labels_first_and_means_over_runs() -> None:
    a, b = runs(2.0, 3), runs(0.7, 2)
    found = class_gains(a, b, TARGETS, CLASSES, num_resamples=100)
    assert found.names == ('frequent', 'usual', 'rare')
    assert found.support.tolist() == [(TARGETS[:, i] == 1).sum() for i in (3, 1, 0)]
    expected = [np.mean([average_precision(run, TARGETS) for run in model], 0) for model in (a, b)]
    np.testing.assert_allclose(found.gain, 100 * (expected[1] - expected[0])[[3, 1, 0]])
    assert (found.low < found.gain).all()
    assert (found.gain < found.high).all()


def test_the_interval_is_that_of_the_paired_bootstrap() -> None:
    """With one label mAP is its AP."""
    a, b = ([run[:, 1:2] for run in model] for model in (runs(2.0, 2), runs(0.7, 2)))
    found = class_gains(a, b, TARGETS[:, 1:2], ('usual',), num_resamples=100)
    expected = paired_bootstrap(a, b, TARGETS[:, 1:2], ['mAP'], num_resamples=100)['mAP']
    assert found.gain[0] == pytest.approx(expected.difference)
    assert found.low[0] == pytest.approx(expected.low)
    assert found.high[0] == pytest.approx(expected.high)


@pytest.mark.parametrize('number', [0, 1, 3, 60])
def test_plot_is_drawn_for_any_number_of_labels(number: int, tmp_path: Path) -> None:
    gain = np.resize([2.0, -1.0], number)
    gains = ClassGains(
        tuple(f'a_$x$ {i}' for i in range(number)), np.arange(number)[::-1], gain, gain - 0.5, gain + 0.5
    )
    path = tmp_path / 'gains.png'
    plot_class_gains(gains, path)
    pixels = np.asarray(Image.open(path).convert('RGB'))
    drawn = [(pixels == ImageColor.getrgb(colour)).all(2).any() for colour in (GAIN, LOSS)]
    assert drawn == [number > 0, number > 1]
