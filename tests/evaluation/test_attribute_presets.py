"""The presets of the attribute data sets, ``guo`` and ``pedestrian``, worked by hand and against scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from mlic_mm.evaluation import evaluate_scores

# Five images, four attributes a b c d; * is predicted (above 0.5), + present, ? ignored.
#
#            a      b      c      d
# image 0    .9*+   .6*    .2     .3+
# image 1    .8*    .5+    .4     .1     0.5 itself is not above the threshold
# image 2    .7*+   .3     .6*?   .2     its prediction of c does not count
# image 3    .4     .2     .1     .3            nothing present or predicted
# image 4    .2+    .1     .3+    .4            nothing predicted
SCORES = np.array(
    [[0.9, 0.6, 0.2, 0.3], [0.8, 0.5, 0.4, 0.1], [0.7, 0.3, 0.6, 0.2], [0.4, 0.2, 0.1, 0.3], [0.2, 0.1, 0.3, 0.4]],
    np.float32,
)
TARGETS = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, -1, 0], [0, 0, 0, 0], [1, 0, 1, 0]])

# Class by class: hits / predicted / positives of negatives known:
#   a: 2 / 3 / 3 of 2    P 2/3  R 2/3  F 2/3   TNR 1/2 (image 1)
#   b: 0 / 1 / 1 of 4    P 0    R 0    F 0     TNR 3/4 (image 0)
#   c: 0 / 0 / 1 of 3    P 0    R 0    F 0     TNR 1, image 2 is left out. For guo: 0 / 1 / 1 of 4, TNR 3/4
#   d: 0 / 0 / 1 of 4    P 0    R 0    F 0     TNR 1
HAND = {
    'mA': ((2 / 3 + 1 / 2) / 2 + (0 + 3 / 4) / 2 + (0 + 1) / 2 + (0 + 1) / 2) / 4,
    'CP': (2 / 3) / 4,
    'CR': (2 / 3) / 4,
    'CF1': (2 / 3) / 4,
    'OP': 2 / 4,
    'OR': 2 / 6,
    'OF1': 2 * 2 / (4 + 6),
    # Image by image: hits / predicted / present: 1/2/2, 0/1/1, 1/1/1, 0/0/0, 0/0/2; unions 3, 2, 1, 0, 2. An empty one
    # gives 0, so image 2 alone is right, and image 0 in part.
    'Acc': (1 / 3 + 0 + 1 + 0 + 0) / 5,
    'Prec': (1 / 2 + 0 + 1 + 0 + 0) / 5,
    'Rec': (1 / 2 + 0 + 1 + 0 + 0) / 5,
    'F1': 3 / 10,  # of equal precision and recall
    # Ranked: a: .9+ .8 .7+ .4 .2+; b: .6 .5+; c (without image 2): .4 .3+; d: .4, then .3+ and .3 together: 1 of 3.
    'mAP': ((1 + 2 / 3 + 3 / 5) / 3 + 1 / 2 + 1 / 2 + 1 / 3) / 4,
    # Pairs of a positive and a negative in order: a: 2 + 1 + 0 of 6; b: 3 of 4; c: 2 of 3; d: 2 and a tie of 4.
    'AUROC': (3 / 6 + 3 / 4 + 2 / 3 + 5 / 8) / 4,
    # All 6 positives against all 13 negatives: .9 is above 13, .7 above 12, .5 above 11, .3 of c and d each above 6
    # (.2 and .1 three times each) and equal to two, .2 above 3 and equal to three.
    'AUROC_micro': (13 + 12 + 11 + 2 * (6 + 2 / 2) + 3 + 3 / 2) / (6 * 13),
}
GUO = HAND | {  # −1 is negative, but in AP and AUROC: one more prediction, of image 2, that is wrong
    'mA': ((2 / 3 + 1 / 2) / 2 + (0 + 3 / 4) / 2 + (0 + 3 / 4) / 2 + (0 + 1) / 2) / 4,
    'OP': 2 / 5,
    'OF1': 2 * 2 / (5 + 6),
    'Acc': (1 / 3 + 0 + 1 / 2 + 0 + 0) / 5,
    'Prec': (1 / 2 + 0 + 1 / 2 + 0 + 0) / 5,
    'F1': 2 * 0.2 * 0.3 / (0.2 + 0.3),
}
# The best three of every image, whatever they score, are all but the lowest: without c, d, d, c, b. Image 2's c is
# among them, and is a wrong one.
#   a: 3 / 5 / 3    P 3/5  R 1    F 3/4
#   b: 1 / 4 / 1    P 1/4  R 1    F 2/5
#   c: 1 / 3 / 1    P 1/3  R 1    F 1/2     images 1, 2 and 4
#   d: 1 / 3 / 1    P 1/3  R 1    F 1/2     images 0, 3 and 4
TOP3 = {
    'CP_top3': (3 / 5 + 1 / 4 + 1 / 3 + 1 / 3) / 4,
    'CR_top3': 1.0,
    'CF1_top3': (3 / 4 + 2 / 5 + 1 / 2 + 1 / 2) / 4,
    'OP_top3': 6 / 15,
    'OR_top3': 1.0,
    'OF1_top3': 2 * 6 / (15 + 6),
}


@pytest.mark.parametrize(('preset', 'expected'), [('guo', GUO | TOP3), ('pedestrian', HAND)])
def test_worked_by_hand(preset: str, expected: dict[str, float]) -> None:
    found = evaluate_scores(SCORES, TARGETS, preset)
    assert found.pop('threshold') == 0.5
    assert found == pytest.approx({name: 100 * value for name, value in expected.items()})


def test_a_class_without_positives_is_left_out_but_counts_in_ma() -> None:
    """Without d's only positive, every mean over classes is over a, b and c; d has recall 0 in mA and TNR 1."""
    targets = TARGETS.copy()
    targets[0, 3] = 0
    found = evaluate_scores(SCORES, targets, 'pedestrian')
    assert found['mA'] == pytest.approx(100 * ((2 / 3 + 1 / 2) / 2 + 3 / 8 + 1 / 2 + 1 / 2) / 4)
    left_out = evaluate_scores(SCORES, targets, 'pedestrian', empty_rate='as-recall')
    assert left_out['mA'] == pytest.approx(100 * ((2 / 3 + 1 / 2) / 2 + 3 / 8 + 1 / 2) / 3)
    assert found['CR'] == pytest.approx(100 * (2 / 3) / 3)
    assert found['mAP'] == pytest.approx(100 * ((1 + 2 / 3 + 3 / 5) / 3 + 1 / 2 + 1 / 2) / 3)
    assert found['Acc'] == pytest.approx(100 * (1 / 2 + 1) / 5)  # image 0: a of a and b


def test_all_ignored_attributes_change_nothing() -> None:
    """An attribute that nobody specified is like one that is not there, but in the mA of pedestrian, where it is 0."""
    scores = np.concatenate([SCORES, np.full((5, 1), 0.05, np.float32)], axis=1)
    targets = np.concatenate([TARGETS, np.full((5, 1), -1)], axis=1)
    for preset in ('guo', 'pedestrian'):
        found, expected = (evaluate_scores(*both, preset) for both in ((scores, targets), (SCORES, TARGETS)))
        assert found.pop('AUROC_classes') == 4
        if preset == 'pedestrian':
            assert found.pop('mA') == pytest.approx(expected.pop('mA') * 4 / 5)
        assert found == expected


def reference(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The figures from scikit-learn's, class by class and image by image; −1 is left out."""
    best = np.zeros(scores.shape, bool)
    for row, values in zip(best, scores, strict=True):
        row[sorted(range(len(values)), key=lambda c: (-values[c], c))[:3]] = True
    result: dict[str, float] = {}
    for suffix, predicted in (('', scores > 0.5), ('_top3', best)):
        rows = []
        for c in range(scores.shape[1]):
            known = targets[:, c] >= 0
            if (targets[:, c] == 1).any():
                truth, guess = targets[known, c], predicted[known, c].astype(int)
                figures = sk.precision_recall_fscore_support(truth, guess, average='binary', zero_division=0)[:3]
                rows.append((*figures, sk.average_precision_score(truth, scores[known, c])))
        names = [f'{name}{suffix}' for name in ('CP', 'CR', 'CF1')]
        result |= dict(zip(names, np.mean(rows, 0), strict=False))
        if not suffix:
            result['mAP'] = np.mean(rows, 0)[3]
        known = targets >= 0
        overall = sk.precision_recall_fscore_support(
            targets[known], predicted[known].astype(int), average='binary', zero_division=0
        )
        result |= {f'{name}{suffix}': value for name, value in zip(('OP', 'OR', 'OF1'), overall[:3], strict=True)}
    balanced, areas, everything = [], [], targets >= 0
    for c in range(scores.shape[1]):
        known = targets[:, c] >= 0
        if set(targets[known, c]) == {0, 1}:
            areas.append(sk.roc_auc_score(targets[known, c], scores[known, c]))
            balanced.append(sk.balanced_accuracy_score(targets[known, c], scores[known, c] > 0.5))
    result['mA'] = np.mean(balanced) if balanced else np.nan
    if areas:
        result |= {
            'AUROC': np.mean(areas),
            'AUROC_micro': sk.roc_auc_score(targets[everything], scores[everything]),
        }
    guess, truth = ((scores > 0.5) & (targets >= 0)).astype(int), (targets == 1).astype(int)
    for name, figure in (('Acc', sk.jaccard_score), ('Prec', sk.precision_score), ('Rec', sk.recall_score)):
        result[name] = figure(truth, guess, average='samples', zero_division=0)
    total = result['Prec'] + result['Rec']
    result['F1'] = 2 * result['Prec'] * result['Rec'] / total if total else 0.0
    return {name: 100 * float(value) for name, value in result.items()}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_against_scikit_learn(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(2, 6)))
    # Few levels, so that ties and scores of exactly 0.5 are common.
    scores = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    targets = data.draw(arrays(np.int64, shape, elements=st.sampled_from([-1, 0, 0, 1])))
    targets[0, 0] = 1  # figures without any positive are not numbers
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        expected = reference(scores, targets)
    guo = evaluate_scores(scores, targets, 'guo', ignored='ignore')
    pedestrian = evaluate_scores(scores, targets, 'pedestrian', empty_rate='as-recall')
    assert ('AUROC' in guo) == ('AUROC' in expected)
    for name, value in expected.items():
        assert guo[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name
    assert pedestrian.keys() == {name for name in guo if 'top' not in name}
    for name, value in pedestrian.items():
        assert value == pytest.approx(guo[name], nan_ok=True), name
