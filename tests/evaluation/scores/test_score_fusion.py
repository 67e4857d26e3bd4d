"""Fusing score matrices: by hand, against SciPy, invariants, and one member in memory at a time."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import gmean, rankdata

from mlic_mm.evaluation import average_precision, fuse_scores, select_members
from mlic_mm.evaluation.scores.ranks import doubled_ranks
from mlic_mm.evaluation.scores.score_fusion import MIN_PROBABILITY, MODES

A = np.array([[0.2, 0.9], [0.4, 0.1], [0.4, 0.5]], dtype=np.float32)
B = np.array([[0.6, 0.1], [0.0, 0.3], [1.0, 0.2]], dtype=np.float32)

PROBABILITIES = hnp.arrays(np.float32, (5, 3), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
"""Few values, so that ties abound."""


@pytest.mark.parametrize(
    ('mode', 'weights', 'expected'),
    [
        ('mean', None, [[0.4, 0.5], [0.2, 0.2], [0.7, 0.35]]),
        ('mean', [3, 1], [[0.3, 0.7], [0.3, 0.15], [0.55, 0.425]]),
        ('mean', [0, 0.1], B),
        # Ranks of A: 0, ¾, ¾ (a tie) and 1, 0, ½; of B: ½, 0, 1 and 0, 1, ½.
        ('rank', None, [[0.25, 0.5], [0.375, 0.5], [0.875, 0.5]]),
        ('rank', [1, 3], [[0.375, 0.25], [0.1875, 0.75], [0.9375, 0.5]]),
        ('geometric', None, np.sqrt([[0.12, 0.09], [0.4e-12, 0.03], [0.4, 0.1]])),
        ('geometric', [2, 1], np.cbrt([[0.024, 0.081], [0.16e-12, 0.003], [0.16, 0.05]])),
    ],
)
def test_by_hand(mode: str, weights: list[float] | None, expected: object) -> None:
    fused = fuse_scores([A, B], weights, mode)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, expected, rtol=1e-5)


@given(st.lists(PROBABILITIES, min_size=1, max_size=4), st.data())
def test_against_references_in_any_order_of_members(members: list[np.ndarray], data: st.DataObject) -> None:
    stack = np.stack(members).astype(np.float64)
    weights = np.array(data.draw(st.lists(st.integers(1, 9), min_size=len(members), max_size=len(members))))
    spread = np.broadcast_to(weights[:, None, None], stack.shape)
    expected = {
        'mean': np.average(stack, axis=0, weights=weights),
        'rank': np.average((rankdata(stack, axis=1) - 1) / 4, axis=0, weights=weights),
        'geometric': gmean(np.maximum(stack, MIN_PROBABILITY), axis=0, weights=spread),
    }
    order = data.draw(st.permutations(range(len(members))))
    for mode, reference in expected.items():
        fused = fuse_scores(members, weights.tolist(), mode)
        np.testing.assert_allclose(fused, reference, rtol=1e-5, atol=1e-9)
        turned = fuse_scores([members[i] for i in order], (weights[order] / 7).tolist(), mode)
        np.testing.assert_allclose(turned, fused, rtol=1e-5, atol=1e-9)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.one_of(
    st.floats(-100, 100, width=32), st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38]))))  # fmt: skip
def test_ranks_are_those_of_scipy(scores: np.ndarray) -> None:
    np.testing.assert_array_equal(doubled_ranks(scores), 2 * (rankdata(scores, axis=0) - 1))


@pytest.mark.parametrize('weights', [None, [1, 1, 1], [0.1, 0.1, 0.1], [1 / 3] * 3, [1e308] * 3, [5e-324] * 3])
def test_equal_sums_of_ranks_are_equal_to_the_last_bit(weights: list[float] | None) -> None:
    """All six orders of three ranks have the sum 3, whatever rank 1 of 7 is in binary."""
    columns = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) * 100
    members = [np.append(columns[:, k], [-1, 300])[:, None] for k in range(3)]
    fused = fuse_scores(members, weights, 'rank')[:6, 0]
    np.testing.assert_array_equal(fused, np.float32(7 / 2 / 7))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12), st.sampled_from(
    [(0.1, 0.2), (0.3, 0.6), (1e300, 2e300), (1, 2), (1 / 3, 2 / 3)]))  # fmt: skip
def test_ranks_are_fused_exactly(pairs: list[tuple[int, int]], weights: tuple[float, float]) -> None:
    """In the order, with the ties, of whole numbers: twice the ranks, once the first and twice the second."""
    members = [np.array(values, float)[:, None] for values in zip(*pairs, strict=True)]
    doubled = [(2 * rankdata(values[:, 0])).astype(int) for values in members]
    exact = doubled[0] + 2 * doubled[1]
    fused = fuse_scores(members, weights, 'rank')[:, 0]
    np.testing.assert_array_equal(np.unique(fused, return_inverse=True)[1], np.unique(exact, return_inverse=True)[1])


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize(
    ('huge', 'plain'), [([1e308, 1e308], [1, 1]), ([5e-324, 1e-323], [1, 2]), ([1e308, 1e-308], [1, 0])]
)
def test_only_ratios_of_weights_count(mode: str, huge: list[float], plain: list[float]) -> None:
    np.testing.assert_array_equal(fuse_scores([A, B], huge, mode), fuse_scores([A, B], plain, mode))


def test_ranks_do_not_depend_on_the_scale() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 4)).astype(np.float32)
    fused = fuse_scores([logits, 1 / (1 + np.exp(-logits))], mode='rank')
    np.testing.assert_array_equal(fused, fuse_scores([logits], mode='rank'))


@pytest.mark.parametrize('mode', MODES)
def test_single_image_and_inputs_left_alone(mode: str) -> None:
    scores = np.array([[0.5, 0.25]])
    fused = fuse_scores([scores, scores], mode=mode)
    np.testing.assert_allclose(fused, [[0, 0]] if mode == 'rank' else scores, rtol=1e-6)
    np.testing.assert_array_equal(scores, [[0.5, 0.25]])


def test_fusing_beats_every_member_where_errors_are_independent() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((2000, 5)) < 0.2).astype(np.int8)
    members = [targets + rng.normal(size=targets.shape) for _ in range(4)]
    best = max(average_precision(scores, targets).mean() for scores in members)
    for mode in ('mean', 'rank'):
        assert average_precision(fuse_scores(members, mode=mode), targets).mean() > best + 0.1


@pytest.mark.parametrize('mode', MODES)
def test_memory_does_not_grow_with_the_members(mode: str) -> None:
    def peak(count: int) -> int:
        rng = np.random.default_rng(0)
        members = (rng.random((4000, 20), dtype=np.float32) for _ in range(count))
        tracemalloc.start()
        fuse_scores(members, mode=mode)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(2)
    assert peak(30) < 1.05 * peak(3)


@pytest.mark.parametrize(
    ('members', 'options', 'message'),
    [
        ([], {}, 'no members'),
        ([A, B[:2]], {}, r'member 1 has scores \(2, 2\), those before it \(3, 2\)'),
        ([A[0]], {}, r'\(N, C\), got \(2,\)'),
        ([A, np.where(B == 1, np.nan, B)], {}, r'member 1: the score of image 2, class 0 is nan \(1 such'),
        ([A, np.where(B == 1, np.inf, B)], {'mode': 'rank'}, r'member 1: .* is inf'),
        ([A, B * 3], {'mode': 'geometric'}, r'image 0, class 0 is 1\.8\d* \(2 such.* not logits'),
        ([-A], {'mode': 'geometric'}, 'is -0.2'),
        ([A], {'mode': 'median'}, "mode='median' must be one of mean, rank, geometric"),
        ([A, B], {'weights': [1]}, '1 weights for more members'),
        ([A, B], {'weights': [1, 1, 1]}, '3 weights for 2 members'),
        ([A, B], {'weights': [1, -1]}, 'weights\\[1\\]=-1 must be'),
        ([A, B], {'weights': [np.nan, 1]}, 'weights\\[0\\]=nan must be'),
        ([A, B], {'weights': [0, 0]}, 'all weights are 0'),
    ],
)
def test_refuses(members: list[np.ndarray], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuse_scores(members, **options)


def test_selection_by_hand() -> None:
    """The figure is how near the mean comes to ½: 0.4 first, then 0.6; the bad third is never taken."""
    members = [np.full((1, 1), value) for value in (0.6, 0.4001, 5.0)]

    def figure(total: np.ndarray) -> float:
        return -abs(float(total[0, 0]) - 0.5)

    found = select_members(lambda: iter(members), figure, rounds=7)
    np.testing.assert_allclose(found.weights, [0.5, 0.5, 0])
    assert found.best_single == figure(members[1])
    assert found.equal == figure(np.mean(members, axis=0))
    assert found.tuned == pytest.approx(-0.00005)


def test_selection_is_never_worse_than_the_best_member_and_drops_noise() -> None:
    rng = np.random.default_rng(1)
    targets = (rng.random((400, 4)) < 0.3).astype(np.int8)
    members = [targets + noise * rng.normal(size=targets.shape) for noise in (0.7, 0.8, 30, 30)]

    def parts() -> Iterator[np.ndarray]:
        return iter(members)

    found = select_members(parts, lambda total: average_precision(total, targets).mean())
    assert found.weights.sum() == pytest.approx(1)
    assert found.tuned > max(found.best_single, found.equal)
    assert found.weights[2:].sum() < 0.01 < found.weights[:2].min()
    fused = fuse_scores(members, found.weights)
    assert average_precision(fused, targets).mean() == pytest.approx(found.tuned, abs=1e-6)


@pytest.mark.parametrize('members', [[], [np.zeros((2, 1))]])
def test_selection_without_anything_to_select(members: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match='no members, or no class has a positive'):
        select_members(lambda: iter(members), lambda total: np.nan)
