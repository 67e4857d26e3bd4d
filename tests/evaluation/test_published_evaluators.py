"""Presets against the published evaluators, each written down here from what its code computes, and on real labels."""

import csv
from pathlib import Path

import numpy as np
import pytest

from mlic_mm.evaluation import PRESETS, average_precision, evaluate_scores, get_protocol


def draw(seed: int, negative: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets with ignored labels, a class that is never predicted and one without positives."""
    rng = np.random.default_rng(seed)
    targets = rng.choice([-1, 0, 1], (80, 7), p=[0.15, 0.6, 0.25])
    scores = 1 / (1 + np.exp(-(rng.normal(negative, 1.5, targets.shape) + 2 * (targets == 1))))
    scores[:, 5] *= 0.45
    return scores, targets


def of_counts(hits: np.ndarray, predicted: np.ndarray, positives: np.ndarray) -> dict[str, float]:
    """ML-GCN's and CSRA's figures: an empty denominator of a class is set to 1 before anything is summed."""
    predicted = np.where(predicted == 0, 1, predicted)
    op, recall = hits.sum() / predicted.sum(), hits.sum() / positives.sum()
    cp, cr = (hits / predicted).mean(), (hits / positives).mean()
    return {
        **{'CP': cp, 'CR': cr, 'CF1': 2 * cp * cr / (cp + cr)},
        **{'OP': op, 'OR': recall, 'OF1': 2 * op * recall / (op + recall)},
    }


@pytest.mark.parametrize(('preset', 'leaves_out'), [('mlgcn', False), ('csra', True)])
def test_ml_gcn_and_csra(preset: str, leaves_out: bool) -> None:
    scores, targets = draw(0)
    known = targets >= 0 if leaves_out else np.ones_like(targets, bool)
    best = np.argsort(np.argsort(-scores, axis=1), axis=1) < 3
    found = evaluate_scores(scores, targets, preset)
    for suffix, chosen in (('', scores > 0.5), ('_top3', (scores > 0.5) & best)):
        made = chosen & known
        expected = of_counts((made & (targets == 1)).sum(0), made.sum(0), (targets == 1).sum(0))
        assert {name: found[name + suffix] for name in expected} == pytest.approx(
            {name: 100 * value for name, value in expected.items()}
        )


@pytest.mark.parametrize('preset', ['mlgcn', 'csra'])
def test_a_class_never_predicted_counts_one_prediction(preset: str) -> None:
    scores, targets = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[1, 0], [1, 1]])
    assert evaluate_scores(scores, targets, preset)['OP'] == pytest.approx(200 / 3)
    assert evaluate_scores(scores, targets, preset, no_predictions='zero')['OP'] == 100
    # Nobody predicts anything: 0 of one prediction for each class.
    assert evaluate_scores(scores / 10, targets, preset)['OP'] == 0


@pytest.mark.parametrize('preset', ['guo', 'srn', 'wang'])
def test_unspecified_labels_are_absent(preset: str) -> None:
    """All figures but AP and AUROC are those of targets in which −1 is 0."""
    scores, targets = draw(1)
    found, expected = (evaluate_scores(scores, labels, preset) for labels in (targets, np.maximum(targets, 0)))
    ranked = ('mAP', 'AUROC', 'AUROC_micro')
    assert all(found.pop(name) != expected.pop(name) for name in ranked)
    assert found == expected


def test_unspecified_labels_of_the_issue() -> None:
    scores, targets = np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.6]]), np.array([[1, -1, 0], [0, 1, 0]])
    for preset in ('guo', 'srn'):
        assert evaluate_scores(scores, targets, preset)['OP'] == 50  # 2 of 4
        assert evaluate_scores(scores, targets, preset, ignored='ignore')['OP'] == pytest.approx(200 / 3)


def pedestrian(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Attribute recognition's own evaluator: a sum over nothing, divided by a tiny number, is 0."""
    guess, true, tiny = scores > 0.5, targets == 1, 1e-20
    rates = [(true & guess).sum(0) / (true.sum(0) + tiny), (~true & ~guess).sum(0) / ((~true).sum(0) + tiny)]
    hit, either = (true & guess).sum(1), (true | guess).sum(1)
    precision, recall = (hit / (guess.sum(1) + tiny)).mean(), (hit / (true.sum(1) + tiny)).mean()
    figures = {'mA': np.mean(rates), 'Acc': (hit / (either + tiny)).mean(), 'Prec': precision, 'Rec': recall}
    return figures | {'F1': 2 * precision * recall / (precision + recall)}


def test_pedestrian_on_real_attributes(data_root: Path) -> None:
    """The first 60 persons of the test split: attributes without positives, and one that nobody lacks."""
    with np.load(data_root / 'pa100k' / 'pa100k_labels_100000x26.npz', allow_pickle=False) as file:
        every = next(file[name] for name in file.files if file[name].ndim == 2 and file[name].shape[1] == 26)
    targets = every[90_000:90_060].astype(np.int64)
    targets[:, 0] = 1
    assert (targets.sum(0) == 0).any()
    scores = 1 / (1 + np.exp(-(np.random.default_rng(0).normal(-0.7, 1, targets.shape) + 1.4 * targets)))
    found = evaluate_scores(scores, targets, 'pedestrian')
    expected = {name: 100 * value for name, value in pedestrian(scores, targets).items()}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    skipped = evaluate_scores(scores, targets, 'pedestrian', empty_rate='as-recall')['mA']
    assert skipped > found['mA'] + 2


def test_wang_gives_the_printed_ratio_on_voc07(data_root: Path) -> None:
    """Table 2 prints O-P = .472 where O-R = 1: 7,013 labels of 3 · 4,952 predictions, difficult ones among them."""
    with (data_root / 'voc2007_labels' / 'classification_test.csv').open(newline='') as file:
        rows = list(csv.reader(file))
    kept = np.array([row[-20:] for row in rows[1:]], float).astype(int)
    targets = np.select([kept == 1, kept == 0], [1, -1], 0)  # the file says 0 for difficult, −1 for absent
    assert (targets == 1).sum() == 7_013
    assert len(targets) == 4_952
    scores = np.random.default_rng(0).random(targets.shape) + 2 * (targets == 1) + (targets == -1)
    found = evaluate_scores(scores, targets, 'wang')
    assert found['OP'] / found['OR'] == pytest.approx(7_013 / (3 * 4_952))
    left_out = evaluate_scores(scores, targets, 'wang', ignored='ignore')
    assert left_out['OP'] / left_out['OR'] > 0.49
    csra, mlgcn = (evaluate_scores(scores / 3, targets, preset)['OP'] for preset in ('csra', 'mlgcn'))
    assert csra > mlgcn + 1


def test_a_group_of_equal_scores_is_not_the_mean_over_its_orders() -> None:
    """One positive and one negative with one score: 1 or ½ in the two orders, and ½ at the end of the group."""
    scores, targets = np.array([[0.5], [0.5]]), np.array([[1], [0]])
    group, worst, best = (average_precision(scores, targets, ties=ties)[0] for ties in ('group', 'worst', 'best'))
    assert (group, worst, best) == (0.5, 0.5, 1)
    assert (worst + best) / 2 == 0.75
    # Two positives with one score below a negative: in every order ½ and ⅔, and ⅔ twice at the end of the group.
    scores, targets = np.array([[0.9], [0.5], [0.5]]), np.array([[0], [1], [1]])
    found = [average_precision(scores, targets, ties=ties)[0] for ties in ('group', 'worst', 'best')]
    assert found == pytest.approx([2 / 3, 7 / 12, 7 / 12])


def test_titles_and_equality() -> None:
    for name, protocol in PRESETS.items():
        assert protocol.title == name
        assert get_protocol(protocol, **{}) == protocol
    changed = get_protocol('asl', threshold=0.3, topk=1, no_positives='skip')
    assert changed.title == 'asl, threshold=0.3, topk=1, no_positives=skip'
    assert get_protocol(changed, threshold=0.8, topk=3, no_positives='zero').title == 'asl'
    assert get_protocol('mlgcn', ignored='ignore') == PRESETS['csra']
    each = get_protocol('guo', threshold=np.array([0.25, 0.5]))
    assert each == get_protocol('guo', threshold=[0.25, 0.5])
    assert each.title == 'guo, threshold=one per class'
    assert len({each, PRESETS['guo']}) == 2
