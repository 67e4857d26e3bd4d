import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlic_mm.visualization.report.mistakes import Mistake, select_mistakes

SCORES = np.array([[0.9, 0.2, 0.8], [0.6, 0.95, 0.1], [0.9, 0.4, 0.99]], np.float32)
TARGETS = np.array([[0, 1, 1], [1, 0, 1], [0, 1, -1]], np.int8)


def _rounded(mistakes: list[Mistake]) -> list[tuple[int, int, float]]:
    return [(m.image, m.label, round(m.score, 4)) for m in mistakes]


def test_by_hand() -> None:
    wrong, missed = select_mistakes(SCORES, TARGETS, SCORES > 0.5, 10)
    # The highest score of all, 0.99, has an ignored target; the two at 0.9 keep the order of the images.
    assert _rounded(wrong) == [(1, 1, 0.95), (0, 0, 0.9), (2, 0, 0.9)]
    assert _rounded(missed) == [(1, 2, 0.1), (0, 1, 0.2), (2, 1, 0.4)]


def test_limit() -> None:
    wrong, missed = select_mistakes(SCORES, TARGETS, SCORES > 0.5, 1)
    assert _rounded(wrong) == [(1, 1, 0.95)]
    assert _rounded(missed) == [(1, 2, 0.1)]
    assert select_mistakes(SCORES, TARGETS, SCORES > 0.5, 0) == ([], [])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_against_a_plain_loop(n: int, c: int, limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, targets = rng.integers(0, 5, (n, c)) / 4, rng.integers(-1, 2, (n, c))
    predicted = scores > 0.5
    wrong, missed = select_mistakes(scores, targets, predicted, limit)
    cells = [(i, j, float(scores[i, j])) for i in range(n) for j in range(c)]
    false_positives = sorted((m for m in cells if m[2] > 0.5 and targets[m[:2]] == 0), key=lambda m: -m[2])
    false_negatives = sorted((m for m in cells if m[2] <= 0.5 and targets[m[:2]] == 1), key=lambda m: m[2])
    assert [tuple(m) for m in wrong] == false_positives[:limit]
    assert [tuple(m) for m in missed] == false_negatives[:limit]
