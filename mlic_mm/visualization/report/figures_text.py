"""Words and rows of an evaluation: the meaning of a protocol's choices, and the metrics as rows of tables."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

from mlic_mm.evaluation import Protocol, ScoreDump, evaluate_scores

_MEANINGS: dict[str, tuple[str, dict[str, str]]] = {
    'ap': (
        'Average precision',
        {
            'all-points': 'the mean of the precisions at the positives, without interpolation',
            'envelope': 'each precision is raised to the best one at an equal or higher recall (VOC from 2010 on)',
            '11-point': 'the mean of the precision envelope at recall 0, 0.1 … 1 (VOC 2007)',
        },
    ),
    'ties': (
        'Equal scores in a class',
        {
            'group': 'they enter the curve together: each positive has the precision at the end of the group',
            'worst': 'negatives come first',
            'best': 'positives come first',
        },
    ),
    'topk_mode': (
        'Top-k metrics',
        {
            'pure': 'the k best labels of every image are predicted',
            'and-threshold': 'those of the k best labels that are above the threshold are predicted',
        },
    ),
    'class_f1': (
        'CF1',
        {'harmonic': 'the harmonic mean of CP and CR', 'mean': 'the mean of the F1 of the classes'},
    ),
    'no_predictions': (
        'Class never predicted',
        {
            'zero': 'its precision is 0',
            'counted': 'its precision is 0, and OP counts one wrong prediction for it',
            'one': 'its precision is 1',
            'skip': 'it is left out of the mean precision',
        },
    ),
    'no_positives': (
        'Class without positives',
        {'skip': 'it is left out of every mean over classes', 'zero': 'its AP, recall and F1 are 0'},
    ),
    'empty_rate': (
        'mA of a class without positives or without negatives',
        {'as-recall': 'the row above applies', 'zero': 'the undefined rate is 0'},
    ),
    'ignored': (
        'Ignored targets (−1)',
        {
            'ignore': 'they are left out of every metric',
            'negative': 'they are left out of AP and AUROC, and negative in all other metrics',
        },
    ),
    'unlabelled': (
        'Images without labels',
        {'keep': 'they are kept', 'drop': 'they are dropped before anything is counted'},
    ),
}


class Axis(NamedTuple):
    """One choice of a protocol in words."""

    name: str
    value: str
    meaning: str


def protocol_axes(protocol: Protocol, result: dict[str, Any]) -> list[Axis]:
    """Describe every choice of a protocol. A tuned threshold comes from the result."""
    rows = []
    for key, (name, meanings) in _MEANINGS.items():
        value = str(getattr(protocol, key))
        if key == 'topk_mode':
            if protocol.topk is None:
                continue
            rows += [_threshold_axis(protocol, result), Axis(name, f'k = {protocol.topk}, {value}', meanings[value])]
        else:
            rows.append(Axis(name, value, meanings[value]))
    if protocol.topk is None:
        rows.insert(2, _threshold_axis(protocol, result))
    return rows


def _threshold_axis(protocol: Protocol, result: dict[str, Any]) -> Axis:
    name = 'Threshold'
    if protocol.threshold is None:
        return Axis(name, 'none', f'all metrics are those of the {protocol.topk} best labels of every image')
    if 'threshold_tuned_here' in result:
        value = f'{result["threshold_tuned_here"]:.4g}'
        return Axis(name, value, f'tuned for the best {protocol.tune_for} on the same scores that it evaluates')
    if protocol.single_threshold is None:
        return Axis(name, 'per class', 'a label is predicted if its score is greater than the threshold of its class')
    return Axis(name, f'{protocol.single_threshold:g}', 'a label is predicted if its score is greater')


class MetricRow(NamedTuple):
    """Precision, recall and F1 of one way of counting, with their names."""

    name: str
    cells: list[tuple[str, str]]


def metric_rows(result: dict[str, Any]) -> list[MetricRow]:
    """Arrange the metrics of :func:`evaluate_scores` in rows, without those that the protocol leaves out."""
    suffixes = sorted({key.partition('_')[2] for key in result if key.startswith('CP_top')})
    groups: list[tuple[str, tuple[str, ...]]]
    groups = [('Mean over classes', ('CP', 'CR', 'CF1')), ('All decisions together', ('OP', 'OR', 'OF1'))]
    for suffix in suffixes:
        label = suffix.replace('top', 'top\u00a0')
        groups.append((f'Mean over classes, {label}', tuple(f'{key}_{suffix}' for key in ('CP', 'CR', 'CF1'))))
        groups.append((f'All decisions, {label}', tuple(f'{key}_{suffix}' for key in ('OP', 'OR', 'OF1'))))
    groups.append(('Mean over images', ('Prec', 'Rec', 'F1')))
    return [MetricRow(name, [(key, percent(result[key])) for key in keys]) for name, keys in groups]


def cf1_rows(dump: ScoreDump, protocol: Protocol, result: dict[str, Any]) -> list[MetricRow]:
    """Return CF1 in both definitions. All other choices are those of the protocol."""
    threshold = result.get('threshold_tuned_here', protocol.threshold)
    kinds = [
        evaluate_scores(dump.scores, dump.targets, replace(protocol, class_f1=kind, threshold=threshold))
        for kind in ('harmonic', 'mean')
    ]
    names = [name for name in result if name == 'CF1' or name.startswith('CF1_')]
    return [MetricRow(name, [(name, percent(kind[name])) for kind in kinds]) for name in names]


def auroc_notes(result: dict[str, Any]) -> dict[str, Any]:
    """Return the AUROC, the number of classes in its mean, and the classes that have none."""
    per_class = result['per_class']
    lacking = [f'{n} ({why})' for n, why in zip(per_class['names'], per_class['no_AUROC'], strict=True) if why]
    return {
        'auroc': [percent(result.get(name, math.nan)) for name in ('AUROC', 'AUROC_micro')],
        'auroc_classes': len(per_class['names']) - len(lacking),
        'auroc_lacking': lacking,
    }


class ClassRow(NamedTuple):
    """One class of the sortable table. ``cells`` are pairs of a number for sorting, or '', and a text."""

    place: int
    name: str
    cells: list[tuple[str, str]]
    support: int


def class_rows(per_class: dict[str, list]) -> list[ClassRow]:
    """Turn the per-class lists of :func:`evaluate_scores` into rows. NaN is sorted as missing."""
    rows = []
    for i, name in enumerate(per_class['names']):
        values = [per_class[key][i] for key in ('AP', 'AUROC', 'P', 'R', 'F1')]
        values = [math.nan if value is None else value for value in values]
        cells = [('' if math.isnan(value) else f'{value:.6g}', percent(value)) for value in values]
        rows.append(ClassRow(i, name, cells, int(per_class['support'][i])))
    return rows


def percent(value: float) -> str:
    """Return a percentage with one decimal, as papers print it, or a dash for NaN."""
    return '–' if math.isnan(value) else f'{value:.1f}'
