"""AP: worked by hand, against scikit-learn, and invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from mlic_mm.evaluation import average_precision


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


# Ranked: positive, negative, negative, positive, positive: precisions at the positives 1, 2/4, 3/5.
SCORES = column(0.9, 0.8, 0.7, 0.6, 0.5)
TARGETS = column(1, 0, 0, 1, 1)


@pytest.mark.parametrize(
    ('ap', 'expected'),
    [
        ('all-points', (1 + 1 / 2 + 3 / 5) / 3),
        # The last precision 3/5 is the best at recall 2/3 as well.
        ('envelope', (1 + 3 / 5 + 3 / 5) / 3),
        # Recall 0, 0.1, 0.2, 0.3 are reached at the first positive, 0.4 … 1.0 at precision 3/5.
        ('11-point', (4 * 1 + 7 * 3 / 5) / 11),
    ],
)
def test_kinds_by_hand(ap: str, expected: float) -> None:
    assert average_precision(SCORES, TARGETS, ap=ap)[0] == pytest.approx(expected, abs=1e-15)


def test_11_point_reaches_three_tenths_exactly() -> None:
    # Three of ten positives come first: recall 3/10 counts as 0.3, which 0.1 * 3 in floating point would miss.
    targets = column(*[1] * 3, *[0] * 7, *[1] * 7)
    scores = column(*np.linspace(1, 0, 17))
    last = [max(h / (h + 7) for h in range(max(4, t), 11)) for t in range(4, 11)]
    assert average_precision(scores, targets, ap='11-point')[0] == pytest.approx((4 * 1 + sum(last)) / 11)


@pytest.mark.parametrize(
    ('ties', 'expected'),
    [
        ('group', (1 + 3 / 5 + 3 / 5) / 3),  # two positives and two negatives enter together
        ('worst', (1 + 2 / 4 + 3 / 5) / 3),
        ('best', 1.0),
    ],
)
def test_ties_by_hand_in_every_order(ties: str, expected: float) -> None:
    scores, targets = column(0.9, 0.5, 0.5, 0.5, 0.5), column(1, 1, 0, 1, 0)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        value = average_precision(scores[order], targets[order], ties=ties)[0]
        assert value == pytest.approx(expected, abs=1e-15)


def test_tied_groups_with_envelope_and_11_point() -> None:
    # Groups: {negative}, {positive, positive, negative}, {positive}: points (recall 2/3, 2/4), (1, 3/5).
    scores, targets = column(0.9, 0.5, 0.5, 0.5, 0.1), column(0, 1, 0, 1, 1)
    assert average_precision(scores, targets, ap='envelope')[0] == pytest.approx(3 / 5)
    assert average_precision(scores, targets, ap='11-point')[0] == pytest.approx(3 / 5)
    assert average_precision(scores, targets)[0] == pytest.approx((2 / 4 * 2 + 3 / 5) / 3)


def test_ignored_are_left_out_and_no_positives_is_nan() -> None:
    scores = np.array([[0.9, 0.3], [0.8, 0.2], [0.7, 0.1]], np.float32)
    targets = np.array([[-1, 0], [1, -1], [0, 0]], np.float32)
    before = targets.copy()
    ap = average_precision(torch.from_numpy(scores), torch.from_numpy(targets))
    assert ap[0] == 1.0
    assert np.isnan(ap[1])
    np.testing.assert_array_equal(targets, before)


matrices = st.tuples(st.integers(1, 40), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(
        # Few different values, so that ties are the rule.
        arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1, width=32)),
        arrays(np.int8, shape, elements=st.sampled_from([0, 1])),
    )
)


@settings(deadline=None)
@given(matrices)
def test_equals_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = data
    found = average_precision(scores, targets)
    for index in np.flatnonzero(targets.any(0)):
        assert found[index] == pytest.approx(average_precision_score(targets[:, index], scores[:, index]), abs=1e-12)


@settings(deadline=None)
@given(matrices, st.randoms(use_true_random=False), st.sampled_from(['all-points', 'envelope', '11-point']))
def test_invariant_to_order_and_monotone_transforms(data: tuple[np.ndarray, np.ndarray], random, ap: str) -> None:
    scores, targets = data
    for ties in ('worst', 'group', 'best'):
        found = average_precision(scores, targets, ap, ties)
        order = list(range(len(scores)))
        random.shuffle(order)
        np.testing.assert_array_equal(average_precision(scores[order], targets[order], ap, ties), found)
        # Ranks keep order and ties of any transform that is strictly monotone.
        ranks = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)
        np.testing.assert_array_equal(average_precision(ranks * 3 - 7, targets, ap, ties), found)


@settings(deadline=None)
@given(matrices)
def test_order_of_kinds(data: tuple[np.ndarray, np.ndarray]) -> None:
    has = data[1].any(0)
    worst, best = (average_precision(*data, ties=ties)[has] for ties in ('worst', 'best'))
    assert (worst <= best + 1e-12).all()
    for ties in ('worst', 'group', 'best'):
        plain = average_precision(*data, ties=ties)[has]
        assert (average_precision(*data, 'envelope', ties)[has] >= plain - 1e-12).all()
