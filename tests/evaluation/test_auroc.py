"""AUROC: worked by hand, against scikit-learn, and labels that have none."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmengine.logging import MMLogger
from sklearn.metrics import roc_auc_score

from mlic_mm.evaluation import MLICMetric, auroc, evaluate_scores
from mlic_mm.evaluation.functional.auroc import PooledAuroc
from mlic_mm.evaluation.functional.matrices import ClassMajor

# Class 0: .9+ .5+ .5- .1?: 1 and ½ of two pairs. Class 1: .6+ .8- .2-, the rest ignored. Class 2: only positives.
SCORES = np.array([[0.9, 0.6, 0.1], [0.5, 0.8, 0.2], [0.5, 0.2, 0.3], [0.1, 0.9, 0.4]])
TARGETS = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [-1, -1, 1]])


def test_by_hand() -> None:
    np.testing.assert_array_equal(auroc(SCORES, TARGETS), [0.75, 0.5, np.nan])
    found = evaluate_scores(SCORES, TARGETS, per_class=True, classes=['a', 'b', 'c'])
    assert found['AUROC'] == pytest.approx(100 * (0.75 + 0.5) / 2)
    assert found['AUROC_classes'] == 2
    # Negatives .5 .8 .2 against .9 (3), .5 (1½), .6 (2), .1 (0), .2 (½), .3 (1), .4 (1).
    assert found['AUROC_micro'] == pytest.approx(100 * 9 / (7 * 3))
    rows = found['per_class']
    assert (rows['AUROC'], rows['no_AUROC']) == ([75, 50, None], ['', '', 'no negatives'])
    assert (rows['support'], rows['negatives']) == ([2, 1, 4], [1, 2, 0])
    nothing = evaluate_scores(SCORES, np.full_like(TARGETS, -1), per_class=True)
    assert not {'AUROC', 'AUROC_micro'} & set(nothing)
    assert nothing['AUROC_classes'] == 0
    assert set(nothing['per_class']['no_AUROC']) == {'no positives and no negatives'}


KINDS = [
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.floats(0, 1, width=32),
    st.floats(-30, 30, width=32),
    st.sampled_from([-np.inf, -3e38, -1e-45, -0.0, 0.0, 1e-45, 3e38, np.inf]),
]


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(KINDS), st.sampled_from([np.float32, np.float64]))
def test_equals_scikit_learn(data: st.DataObject, kind: st.SearchStrategy, dtype: type) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    scores = data.draw(arrays(np.float32, shape, elements=kind)).astype(dtype)
    targets = data.draw(arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 0, 1])))
    finite = np.unique(scores, return_inverse=True)[1].reshape(shape)  # scikit-learn takes no infinity
    parts = [(finite[:, c], targets[:, c]) for c in range(shape[1])]
    expected = [
        100 * roc_auc_score(t[t >= 0], s[t >= 0]) if set(t[t >= 0]) == {0, 1} else None
        for s, t in [*parts, (finite, targets)]
    ]
    found = evaluate_scores(scores, targets, per_class=True)
    assert found['per_class']['AUROC'] == pytest.approx(expected[:-1])
    known = [value for value in expected[:-1] if value is not None]
    assert found.get('AUROC') == (pytest.approx(np.mean(known)) if known else None)
    assert found.get('AUROC_micro') == pytest.approx(expected[-1])
    assert found.get('AUROC_classes', shape[1]) == len(known)


def test_many_scores_through_the_table() -> None:
    """Enough scores of either sign that most bins of the table hold one, and the leading bits have to be shifted."""
    rng = np.random.default_rng(0)
    targets = (rng.random((3000, 8)) < 0.2).astype(np.int8)
    for scores in (rng.normal(size=targets.shape) + targets, rng.random(targets.shape) ** 6):
        data = ClassMajor.from_matrices(scores.astype(np.float32), targets)
        pooled = PooledAuroc(data)
        for index in range(8):
            pooled.add(data.sorted_class(index)[0])
        assert pooled.area() == pytest.approx(
            roc_auc_score(targets, scores.astype(np.float32), average='micro'), abs=1e-12
        )


def test_the_metric_names_classes_without_auroc_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    listener = logging.Handler()
    monkeypatch.setattr(listener, 'emit', lambda record: said.append(record.getMessage()))
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [listener])
    metric = MLICMetric('guo', threshold=0.3)
    metric.dataset_meta = {'classes': ('a', 'b', 'c')}
    for _ in range(2):
        metric.process(
            None,
            [
                {'pred_score': torch.tensor(s), 'gt_score': torch.tensor(t)}
                for s, t in zip(SCORES, TARGETS, strict=True)
            ],
        )
        figures = metric.evaluate(4)
    assert figures['AUROC_classes'] == 2
    assert 'per_class' not in figures
    assert said == [
        'MLICMetric: protocol guo, threshold=0.3',
        'AUROC is the mean over 2 classes, without c (no negatives)',
    ]
