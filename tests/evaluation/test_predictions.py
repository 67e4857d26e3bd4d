"""Threshold and top-k selection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlic_mm.evaluation.functional import above_threshold, top_k


def test_threshold_is_strict_in_the_type_of_the_scores() -> None:
    scores = np.array([[0.8, 0.81], [0.5, 0.3]], np.float32)
    np.testing.assert_array_equal(above_threshold(scores, 0.8), [[False, True], [False, False]])
    np.testing.assert_array_equal(above_threshold(scores, [0.8, 0.3]), [[False, True], [True, False]])
    with pytest.raises(ValueError, match='3 values for 2 classes'):
        above_threshold(scores, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match='threshold=nan must be a number'):
        above_threshold(scores, float('nan'))


def test_top_k_ties_go_to_the_lower_class_index() -> None:
    scores = np.array([[0.5, 0.1, -np.inf], [0.5, 0.9, -np.inf], [0.5, 0.9, -np.inf], [0.9, 0.1, 0.2]], np.float32)
    expected = [[True, True, True], [False, True, False], [False, True, False], [True, False, True]]
    chosen = top_k(scores, 2)
    expected[0][1] = False
    np.testing.assert_array_equal(chosen, expected)
    assert top_k(scores, 9).all()


@given(
    arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 12)), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    st.integers(1, 4),
)
def test_top_k_equals_a_stable_sort_of_every_image(scores: np.ndarray, k: int) -> None:
    chosen = top_k(scores, k)
    for image in range(scores.shape[1]):
        best = np.argsort(-scores[:, image], kind='stable')[:k]
        assert set(np.flatnonzero(chosen[:, image])) == set(best)
