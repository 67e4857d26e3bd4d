import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from mlic_mm.visualization.report.curves import precision_at, precision_recall, score_histograms, thin


def test_by_hand() -> None:
    # In falling order: 0.9 hit, 0.8 miss, 0.7 ignored, then two at 0.5 of which one is a hit.
    curve = precision_recall(np.array([0.5, 0.9, 0.8, 0.5, 0.7]), np.array([1, 1, 0, 0, -1]))
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.5])
    np.testing.assert_allclose(curve.recall, [0.5, 0.5, 1])
    np.testing.assert_allclose(curve.precision, [1, 0.5, 0.5])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_against_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    scores, targets = np.array([s for s, _ in pairs]) / 8, np.array([t for _, t in pairs]).astype(np.int8)
    targets[0] = 1
    curve = precision_recall(scores, targets)
    precision, recall, threshold = precision_recall_curve(targets, scores)
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
    np.testing.assert_allclose(curve.threshold, threshold[::-1])


def test_area_is_average_precision() -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.random(300), (rng.random(300) < 0.2).astype(np.int8)
    curve = precision_recall(scores, targets)
    middles = (np.arange(20_000) + 0.5) / 20_000
    area = precision_at(curve, middles).mean()
    assert area == pytest.approx(average_precision_score(targets, scores), abs=1e-3)


def test_grid_recall_finds_its_point() -> None:
    # 0.1 + 0.2 style rounding must not push recall 0.3 to the next point.
    targets = np.ones(10, np.int8)
    curve = precision_recall(np.linspace(1, 0.1, 10), targets)
    curve = curve._replace(precision=np.arange(10.0))
    np.testing.assert_array_equal(precision_at(curve, np.linspace(0, 1, 11)), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])


def test_no_positives_and_all_ignored() -> None:
    for targets in ([0, 0], [-1, -1], [0, -1]):
        curve = precision_recall(np.array([0.2, 0.4]), np.array(targets))
        assert [len(values) for values in curve] == [0, 0, 0]
        assert [len(values) for values in thin(curve, 12)] == [0, 0, 0]


def test_thin_keeps_ends_and_order() -> None:
    rng = np.random.default_rng(1)
    curve = precision_recall(rng.random(5000), (rng.random(5000) < 0.5).astype(np.int8))
    few = thin(curve, 50)
    assert 40 <= len(few.recall) <= 50
    assert few.recall[0] == curve.recall[0]
    assert few.recall[-1] == 1
    assert (np.diff(few.recall) > 0).all()
    points = set(zip(*(values.tolist() for values in curve), strict=True))
    assert set(zip(*(values.tolist() for values in few), strict=True)) <= points


def test_thin_ends_where_recall_is_full() -> None:
    curve = precision_recall(np.array([0.9, 0.8, 0.3, 0.2]), np.array([1, 1, 0, 0]))
    np.testing.assert_array_equal(thin(curve, 12).recall, [0.5, 1])


def test_histograms_by_hand() -> None:
    scores = np.array([[0.0, 0.5], [0.19, 1.0], [0.2, 0.99], [0.7, 0.1]])
    targets = np.array([[0, 1], [0, 1], [1, 0], [-1, 0]])
    found = score_histograms(scores, targets, bins=5)
    np.testing.assert_array_equal(found.negative, [[2, 0, 0, 0, 0], [1, 0, 0, 0, 1]])
    np.testing.assert_array_equal(found.positive, [[0, 1, 0, 0, 0], [0, 0, 1, 0, 1]])
    assert (found.low, found.high) == (0, 1)


def test_histograms_of_many_rows_match_numpy() -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(9000, 3)).astype(np.float32), rng.integers(-1, 2, (9000, 3)).astype(np.int8)
    found = score_histograms(scores, targets)
    assert found.low == scores.min()
    assert found.high == scores.max()
    for c in range(3):
        for counts, target in ((found.positive, 1), (found.negative, 0)):
            values = scores[targets[:, c] == target, c].astype(np.float64)
            np.testing.assert_array_equal(counts[c], np.histogram(values, 25, (found.low, found.high))[0])
