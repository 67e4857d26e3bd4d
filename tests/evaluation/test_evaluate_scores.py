"""Every axis of the protocols, presets against references, invariants, errors."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from mlic_mm.evaluation import PRESETS, evaluate_scores, tune_threshold

# Four images, four classes. Class 2 has no positives, class 3 is never above 0.5.
SCORES = np.array(
    [[0.9, 0.6, 0.7, 0.1], [0.8, 0.2, 0.3, 0.4], [0.3, 0.9, 0.1, 0.2], [0.6, 0.4, 0.2, 0.45]],
    np.float32,
)
TARGETS = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1]], np.float32)
# Above 0.5: class 0: images 0 1 3 (hits 0 3), class 1: 0 2 (both hits), class 2: image 0, class 3: none.
# Precision 2/3, 1, 0, empty; recall 2/2, 2/3, empty, 0/2.
BASE = {'topk_mode': 'pure', 'no_predictions': 'zero', 'no_positives': 'skip', 'class_f1': 'mean'}


def figures(**overrides: object) -> dict[str, float]:
    return evaluate_scores(SCORES, TARGETS, **{**BASE, **overrides})


def percent(*values: float) -> float:
    return pytest.approx(100 * float(np.mean(values)), abs=1e-9)


def test_class_without_predictions() -> None:
    zero, one, skip, counted = (figures(no_predictions=value) for value in ('zero', 'one', 'skip', 'counted'))
    assert counted.pop('OP') == percent(4 / 7)  # 4 hits of 3 + 2 + 1 predictions and one for class 3
    assert counted.pop('OF1') == percent(8 / 14)
    assert {**counted, 'OP': zero['OP'], 'OF1': zero['OF1']} == zero
    assert zero['CP'] == percent(2 / 3, 1, 0)
    assert one['CP'] == percent(2 / 3, 1, 1)
    assert skip['CP'] == percent(2 / 3, 1)
    assert zero['CR'] == one['CR'] == skip['CR'] == percent(1, 2 / 3, 0)
    assert zero['CF1'] == one['CF1'] == percent(4 / 5, 4 / 5, 0)
    assert skip['CF1'] == percent(4 / 5, 4 / 5)


def test_class_without_positives() -> None:
    skip, zero = figures(), figures(no_positives='zero')
    assert skip['CR'] == percent(1, 2 / 3, 0)
    assert zero['CR'] == percent(1, 2 / 3, 0, 0)
    assert zero['CP'] == percent(2 / 3, 1, 0, 0)
    # AP: class 0: 1, 2/3 (ranked 0.9+ 0.8- 0.6+); class 1: ranked 0.9+ 0.6+ 0.4- 0.2+; class 3: 0.45+ 0.4+.
    aps = (1 + 2 / 3) / 2, (1 + 1 + 3 / 4) / 3, 1.0
    assert skip['mAP'] == percent(*aps)
    assert zero['mAP'] == percent(*aps, 0)


def test_class_f1() -> None:
    cp, cr = (2 / 3 + 1 + 0) / 3, (1 + 2 / 3 + 0) / 3
    assert figures(class_f1='harmonic')['CF1'] == percent(2 * cp * cr / (cp + cr))
    assert figures(class_f1='mean')['CF1'] == percent(4 / 5, 4 / 5, 0)


def test_overall_counts_all_decisions() -> None:
    found = figures()
    assert (found['OP'], found['OR']) == (percent(4 / 6), percent(4 / 7))
    assert found['OF1'] == percent(8 / 13)


def test_mean_accuracy_and_example_based() -> None:
    found = figures()
    # TPR 1, 2/3, -, 0; TNR 1/2, 1, -, 1.
    assert found['mA'] == percent(3 / 4, 5 / 6, 1 / 2)
    # Predicted {0,1,2} {0} {1} {0}; true {0,1} {1,3} {1} {0,3}.
    assert found['Acc'] == percent(2 / 3, 0, 1, 1 / 2)
    assert found['Prec'] == percent(2 / 3, 0, 1, 1)
    assert found['Rec'] == percent(1, 0, 1, 1 / 2)
    prec, rec = found['Prec'], found['Rec']
    assert found['F1'] == pytest.approx(2 * prec * rec / (prec + rec))
    # TPR of a class without positives counts 0 where the protocol says so: (0 + TNR 3/4) / 2.
    assert figures(no_positives='zero')['mA'] == percent(3 / 4, 5 / 6, 3 / 8, 1 / 2)


def test_empty_images_count_zero_in_example_based() -> None:
    found = evaluate_scores(np.array([[0.9], [0.1], [0.2]]), np.array([[1], [1], [0]]), 'pedestrian')
    assert [found[name] for name in ('Acc', 'Prec', 'Rec')] == pytest.approx([100 / 3] * 3)


def test_top_k_pure_or_above_the_threshold() -> None:
    pure, both = figures(topk=2), figures(topk=2, topk_mode='and-threshold')
    # Best two: {0,2} {0,3} {1,0} {0,3}: hits {0} {3} {1} {0,3}.
    assert (pure['OP_top2'], pure['OR_top2']) == (percent(5 / 8), percent(5 / 7))
    # Above 0.5 of those: {0,2} {0} {1} {0}.
    assert (both['OP_top2'], both['OR_top2']) == (percent(3 / 5), percent(3 / 7))
    assert both['OP'] == pure['OP']
    assert not any('top' in name for name in figures(topk=None))


def test_threshold_none_takes_everything_from_the_top_k() -> None:
    found = figures(threshold=None, topk=2)
    assert found['OP'] == found['OP_top2'] == percent(5 / 8)
    assert found['CF1'] == found['CF1_top2']
    assert found['Prec'] == percent(1 / 2, 1 / 2, 1 / 2, 1)
    assert 'threshold' not in found


def test_threshold_per_class() -> None:
    found = figures(threshold=[0.85, 0.3, 0.9, 0.3])
    # Predicted: class 0: {0}; class 1: {0, 2, 3}; class 2: none; class 3: {1, 3}.
    assert (found['OP'], found['OR']) == (percent(5 / 6), percent(5 / 7))


def test_ignored_targets() -> None:
    targets = TARGETS.copy()
    targets[1, 0] = -1  # a false positive of class 0
    before = targets.copy()
    ignore = evaluate_scores(SCORES, targets, **BASE, ignored='ignore')
    negative = evaluate_scores(SCORES, targets, **BASE, ignored='negative')
    assert (ignore['OP'], negative['OP']) == (percent(4 / 5), percent(4 / 6))
    assert (ignore['mA'], negative['mA']) == (percent(1, 5 / 6, 1 / 2), percent(3 / 4, 5 / 6, 1 / 2))
    assert ignore['Prec'] == percent(2 / 3, 0, 1, 1)
    # AP leaves it out in both.
    assert ignore['mAP'] == negative['mAP'] == percent(1, (1 + 1 + 3 / 4) / 3, 1)
    # Its place among the best two is taken all the same: {2} {3} {1,0} ... hits stay, predictions lose one.
    assert evaluate_scores(SCORES, targets, **BASE, topk=2)['OP_top2'] == percent(5 / 8)
    assert evaluate_scores(SCORES, targets, **BASE, topk=2, ignored='ignore')['OR_top2'] == percent(5 / 7)
    np.testing.assert_array_equal(targets, before)


def test_images_without_labels_kept_or_dropped() -> None:
    scores, targets = np.vstack([SCORES, [[0.7, 0, 0, 0]]]), np.vstack([TARGETS, [[0, 0, 0, 0]]])
    assert evaluate_scores(scores, targets, **BASE, unlabelled='drop') == figures()
    assert evaluate_scores(scores, targets, **BASE)['OP'] == percent(4 / 7)
    with pytest.raises(ValueError, match="unlabelled='drop' leaves no image"):
        evaluate_scores(scores, np.zeros_like(targets), unlabelled='drop')


def test_per_class() -> None:
    found = evaluate_scores(SCORES, TARGETS, **BASE, per_class=True, classes=['a', 'b', 'c', 'd'])['per_class']
    assert found['names'] == ['a', 'b', 'c', 'd']
    assert found['support'] == [2, 3, 0, 2]
    np.testing.assert_allclose(found['P'], [200 / 3, 100, np.nan, 0])
    np.testing.assert_allclose(found['R'], [100, 200 / 3, np.nan, 0])
    np.testing.assert_allclose(found['F1'], [80, 80, np.nan, 0])
    np.testing.assert_allclose(found['AP'], [250 / 3, 275 / 3, np.nan, 100])
    assert evaluate_scores(SCORES, TARGETS, per_class=True)['per_class']['names'] == ['0', '1', '2', '3']


def test_nothing_to_average_is_nan() -> None:
    found = evaluate_scores(SCORES, np.zeros_like(TARGETS), 'guo')
    assert np.isnan([found[name] for name in ('mAP', 'CP', 'CR', 'CF1', 'OR', 'mA')]).all()
    assert evaluate_scores(SCORES, np.zeros_like(TARGETS), 'asl')['mAP'] == 0


PRESET_TABLE = {
    'mlgcn': ('all-points', 0.5, 'and-threshold', 'harmonic', 'counted', 'skip', 'negative'),
    'csra': ('all-points', 0.5, 'and-threshold', 'harmonic', 'counted', 'skip', 'ignore'),
    'srn': ('envelope', 0.5, 'pure', 'mean', 'one', 'skip', 'negative'),
    'asl': ('all-points', 0.8, 'pure', 'mean', 'zero', 'zero', 'ignore'),
    'q2l': ('envelope', 0.5, 'and-threshold', 'harmonic', 'zero', 'skip', 'ignore'),
    'wang': ('all-points', None, 'pure', 'mean', 'skip', 'skip', 'negative'),
    'liu': ('all-points', 'tuned', 'pure', 'mean', 'zero', 'skip', 'ignore'),
    'guo': ('all-points', 0.5, 'pure', 'mean', 'zero', 'skip', 'negative'),
    'pedestrian': ('all-points', 0.5, None, 'mean', 'zero', 'skip', 'ignore'),
    'voc07': ('11-point', 0.5, 'and-threshold', 'harmonic', 'zero', 'skip', 'ignore'),
}


def random_data(seed: int, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, (60, 6)).astype(np.float32) / 40
    targets = (rng.random((60, 6)) < 0.3).astype(np.int8)
    if ignored:
        targets[rng.random((60, 6)) < 0.1] = -1
    targets[:, 4][targets[:, 4] == 1] = 0
    scores[:, 5] *= 0.4
    return scores, targets


@pytest.mark.parametrize('preset', PRESETS)
def test_preset_equals_the_table_spelled_out(preset: str) -> None:
    """The preset table, written down a second time as loops over single classes and images."""
    ap, threshold, topk_mode, class_f1, no_predictions, no_positives, ignored = PRESET_TABLE[preset]
    scores, targets = random_data(3)
    found = evaluate_scores(scores, targets, preset)
    best = np.zeros(scores.shape, bool)
    for row, score in zip(best, scores, strict=True):
        row[np.argsort(-score, kind='stable')[:3]] = True
    if threshold == 'tuned':
        threshold = found['threshold_tuned_here']
    above = best if threshold is None else scores > np.float32(threshold)
    choices = {'': above}
    if topk_mode:
        choices['_top3'] = best & above if topk_mode == 'and-threshold' else best
    for suffix, predicted in choices.items():
        precisions, recalls, f1s, aps = [], [], [], []
        for c in range(6):
            known = targets[:, c] >= (-1 if ignored == 'negative' else 0)
            true, guess = targets[known, c] == 1, predicted[known, c]
            hit = (true & guess).sum()
            if not true.any() and no_positives == 'skip':
                continue
            recall = hit / true.sum() if true.any() else 0.0
            recalls.append(recall)
            if true.any():
                precise = sk.precision_recall_curve(
                    true_ap := targets[targets[:, c] >= 0, c], scores[targets[:, c] >= 0, c]
                )
                p, r = precise[0][:-1], precise[1][:-1]
                if ap == 'all-points':
                    aps.append(sk.average_precision_score(true_ap, scores[targets[:, c] >= 0, c]))
                elif ap == 'envelope':
                    steps = sorted(set(r))
                    aps.append(sum((b - a) * p[r >= b].max() for a, b in zip([0, *steps], steps, strict=False)))
                else:
                    aps.append(np.mean([p[r >= t / 10 - 1e-12].max() for t in range(11)]))
            else:
                aps.append(0.0)
            if not guess.any():
                if no_predictions == 'skip':
                    continue
                precision = float(no_predictions == 'one')
            else:
                precision = hit / guess.sum()
            precisions.append(precision)
            f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        cp, cr = np.mean(precisions), np.mean(recalls)
        cf1 = 2 * cp * cr / (cp + cr) if class_f1 == 'harmonic' else np.mean(f1s)
        known = targets >= (-1 if ignored == 'negative' else 0)
        made = (predicted & known).sum(0)
        op = ((targets == 1) & predicted).sum() / (np.maximum(made, 1) if no_predictions == 'counted' else made).sum()
        overall = ((targets == 1) & predicted).sum() / (targets == 1).sum()
        expected = [np.mean(aps), cp, cr, cf1, op, overall, 2 * op * overall / (op + overall)]
        names = ['mAP', *(name + suffix for name in ('CP', 'CR', 'CF1', 'OP', 'OR', 'OF1'))]
        np.testing.assert_allclose([found[name] for name in names], 100 * np.array(expected), rtol=1e-12)
    if not topk_mode:
        assert not any(name.endswith('_top3') for name in found)
    assert {'mA', 'Acc', 'Prec', 'Rec', 'F1'} <= set(found)


def test_equals_scikit_learn() -> None:
    scores, targets = random_data(5, ignored=False)
    scores, targets = scores[:, :4], targets[:, :4]
    found = evaluate_scores(scores, targets, 'guo')
    predicted = scores > 0.5
    for prefix, average in (('C', 'macro'), ('O', 'micro')):
        for name, figure in (('P', sk.precision_score), ('R', sk.recall_score), ('F1', sk.f1_score)):
            assert found[prefix + name] == percent(figure(targets, predicted, average=average, zero_division=0))
    assert found['mAP'] == percent(sk.average_precision_score(targets, scores))
    assert found['mA'] == percent(*(sk.balanced_accuracy_score(targets[:, c], predicted[:, c]) for c in range(4)))
    samples = {'average': 'samples', 'zero_division': 0}
    assert found['Prec'] == percent(sk.precision_score(targets, predicted, **samples))
    assert found['Rec'] == percent(sk.recall_score(targets, predicted, **samples))
    assert found['Acc'] == percent(sk.jaccard_score(targets, predicted, **samples))


def test_equals_torchmetrics() -> None:
    classification = pytest.importorskip('torchmetrics.classification')
    scores, targets = random_data(6, ignored=False)
    scores, targets = torch.from_numpy(scores[:, :4]), torch.from_numpy(targets[:, :4]).long()
    found = evaluate_scores(scores, targets, 'guo')
    macro = {'num_labels': 4, 'average': 'macro'}
    assert found['mAP'] == pytest.approx(
        100 * float(classification.MultilabelAveragePrecision(**macro)(scores, targets)), abs=1e-4
    )
    assert found['CF1'] == pytest.approx(
        100 * float(classification.MultilabelF1Score(**macro)(scores, targets)), abs=1e-4
    )


def test_equals_mmpretrain() -> None:
    evaluation = pytest.importorskip('mmpretrain.evaluation')
    scores, targets = random_data(7)
    scores += np.random.default_rng(0).random(scores.shape).astype(np.float32) / 1000  # it breaks ties by input order
    targets[0] = 1  # it counts classes without positives as 0
    found = evaluate_scores(scores, targets, 'guo', ignored='ignore')
    pair = torch.from_numpy(scores), torch.from_numpy(targets.astype(np.int64))
    calculate = evaluation.MultiLabelMetric.calculate
    assert found['mAP'] == pytest.approx(float(evaluation.AveragePrecision.calculate(*pair)), abs=1e-3)
    for suffix, how in (('', {'thr': 0.5}), ('_top3', {'topk': 3})):
        for prefix, average in (('C', 'macro'), ('O', 'micro')):
            expected = calculate(pair[0], pair[1].clone(), average=average, **how)[:3]
            for name, value in zip(('P', 'R', 'F1'), expected, strict=True):
                assert found[prefix + name + suffix] == pytest.approx(float(value), abs=1e-3)


@pytest.mark.parametrize('figure', ['OF1', 'CF1'])
@pytest.mark.parametrize('class_f1', ['mean', 'harmonic'])
def test_tuned_threshold_is_the_best_of_all(figure: str, class_f1: str) -> None:
    scores, targets = random_data(8)
    options = {'class_f1': class_f1, 'tune_for': figure}
    tuned = evaluate_scores(scores, targets, 'liu', **options)
    limits = np.unique(scores) - np.float32(0.01)
    every = [
        evaluate_scores(scores, targets, 'liu', class_f1=class_f1, threshold=float(limit))[figure] for limit in limits
    ]
    assert tuned[figure] == pytest.approx(max(every), abs=1e-12)


def test_threshold_tuned_elsewhere_says_so() -> None:
    here, there = random_data(9), random_data(10)
    threshold = tune_threshold(*there)
    found = evaluate_scores(*here, 'liu', threshold=threshold)
    assert found['threshold'] == threshold
    assert 'threshold_tuned_here' not in found
    tuned = evaluate_scores(*here, 'liu')
    assert 'threshold' not in tuned
    assert tuned['OF1'] >= found['OF1']
    assert evaluate_scores(*here, 'liu', threshold=tuned['threshold_tuned_here'])['OF1'] == tuned['OF1']
    with pytest.raises(ValueError, match='no positive label'):
        tune_threshold(here[0], np.zeros_like(here[1]))


def test_many_candidates_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((4000, 5)) < 0.3).astype(np.int8)
    scores = (rng.normal(size=targets.shape) + 2 * targets).astype(np.float32)
    exact = evaluate_scores(scores, targets, 'liu')['OF1']
    monkeypatch.setattr('mlic_mm.evaluation.functional.threshold.MAX_CANDIDATES', 500)
    thinned = evaluate_scores(scores, targets, 'liu')['OF1']
    assert exact - 0.1 < thinned <= exact


matrices = st.tuples(st.integers(1, 25), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1, width=32)),
        arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 0, 1])),
    )
)
not_tuned = st.sampled_from([name for name in PRESETS if name != 'liu'])


@settings(deadline=None, max_examples=50)
@given(matrices, not_tuned, st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_bit(data: tuple[np.ndarray, np.ndarray], preset: str, random) -> None:
    scores, targets = data
    order = list(range(len(scores)))
    random.shuffle(order)
    np.testing.assert_equal(evaluate_scores(scores[order], targets[order], preset), evaluate_scores(*data, preset))


@settings(deadline=None, max_examples=50)
@given(matrices, not_tuned, st.randoms(use_true_random=False))
def test_order_of_classes_changes_nothing(data: tuple[np.ndarray, np.ndarray], preset: str, random) -> None:
    scores, targets = data
    # Equal scores of one image would go to the lower class index in the top-k: make them differ.
    scores = scores * 0.9 + np.arange(scores.shape[1], dtype=np.float32) / 1000 + np.float32(0.0005)
    distinct = [len(set(row)) == len(row) for row in scores]
    scores, targets = scores[distinct], targets[distinct]
    if not len(scores):
        return
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    expected = evaluate_scores(scores, targets, preset, per_class=True)
    found = evaluate_scores(scores[:, order], targets[:, order], preset, per_class=True)
    rows, expected_rows = found.pop('per_class'), expected.pop('per_class')
    for name in ('AP', 'AUROC', 'P', 'R', 'F1', 'support', 'negatives'):
        np.testing.assert_allclose(np.array(rows[name], float), np.array(expected_rows[name], float)[order])
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name)


@settings(deadline=None, max_examples=50)
@given(matrices, st.sampled_from(list(PRESETS)))
def test_percentages_without_warnings_and_inputs_untouched(data: tuple[np.ndarray, np.ndarray], preset: str) -> None:
    scores, targets = data
    copies = scores.copy(), targets.copy()
    if preset == 'liu' and not (targets == 1).any():
        return
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = evaluate_scores(scores, targets, preset)
    values = np.array([value for name, value in found.items() if not name.startswith('threshold')])
    assert ((values >= 0) & (values <= 100 + 1e-9) | np.isnan(values)).all()
    np.testing.assert_array_equal(scores, copies[0])
    np.testing.assert_array_equal(targets, copies[1])
