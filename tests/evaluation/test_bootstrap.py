import numpy as np
import pytest

from mlic_mm.evaluation import evaluate_scores, paired_bootstrap

RNG = np.random.default_rng(0)
TARGETS = (RNG.random((150, 4)) < 0.4).astype(np.int8)
NOISE = RNG.normal(size=(3, 150, 4))
GOOD, BAD = TARGETS + 0.5 * NOISE[0], TARGETS + 2.0 * NOISE[1]


def test_a_model_does_not_differ_from_itself():
    result = paired_bootstrap([GOOD], [GOOD], TARGETS, num_resamples=100)
    assert {row[2:] for row in result.values()} == {(0.0, 0.0, 0.0)}


def test_a_clear_difference_is_found_and_changes_sign_with_the_order():
    forward = paired_bootstrap([BAD], [GOOD], TARGETS, num_resamples=100)['mAP']
    backward = paired_bootstrap([GOOD], [BAD], TARGETS, num_resamples=100)['mAP']
    assert 0 < forward.low < forward.difference < forward.high
    assert backward[2:] == pytest.approx((-forward.difference, -forward.high, -forward.low))


def test_figures_are_the_means_over_runs():
    row = paired_bootstrap([GOOD, BAD], [GOOD], TARGETS, num_resamples=100)['mAP']
    maps = [evaluate_scores(run, TARGETS)['mAP'] for run in (GOOD, BAD)]
    assert row.a == pytest.approx(np.mean(maps))
    assert row.b == pytest.approx(maps[0])


def test_interval_agrees_with_scipy():
    """Two columns of 0/1 hits make overall precision a mean, which scipy's paired bootstrap knows."""
    stats = pytest.importorskip('scipy.stats')
    targets = (RNG.random((200, 1)) < 0.5).astype(np.int8)
    a, b = (targets ^ (RNG.random((200, 1)) < wrong) for wrong in (0.4, 0.1))
    # One label predicted everywhere it scores above ½: recall is the mean hit among positives, taken by OR.
    ours = paired_bootstrap([a * 1.0], [b * 1.0], targets, ['OR'], num_resamples=3000)['OR']

    def recall(index):
        index = index.astype(int)
        positive = targets[index, 0] == 1
        return 100 * (b[index, 0][positive].mean() - a[index, 0][positive].mean())

    theirs = stats.bootstrap(
        (np.arange(200),), recall, vectorized=False, method='percentile', n_resamples=3000, rng=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1.0)


def test_bad_arguments():
    with pytest.raises(ValueError, match='at least one run'):
        paired_bootstrap([], [GOOD], TARGETS)
    with pytest.raises(ValueError, match='num_resamples=10'):
        paired_bootstrap([GOOD], [GOOD], TARGETS, num_resamples=10)
    with pytest.raises(ValueError, match="'map'"):
        paired_bootstrap([GOOD], [GOOD], TARGETS, ['map'])
