"""The sections of the report, each as the values for the template of the page."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmpretrain.models import ImageClassifier

from mlic_mm.evaluation import Protocol, ScoreDump
from mlic_mm.evaluation.functional.predictions import above_threshold, top_k

from ..class_maps import MapCard, choose_images, class_maps, layers_of
from ..inputs import NoFeatureMapError, infos_of
from ..pictures import Picture, image_below, thumbnail
from . import charts
from .curves import RECALL_GRID, precision_at, precision_recall, score_histograms, thin
from .mistakes import Mistake, select_mistakes
from .training_log import TrainingLog, read_training_log, smooth

_POINTS = 24_000
"""Points of all precision-recall curves together. The limit keeps the page small with thousands of classes."""


def curve_section(dump: ScoreDump) -> dict[str, Any]:
    """Return the precision-recall chart, the histograms, and what the script needs of every class."""
    limit = max(12, min(120, _POINTS // len(dump.classes)))
    histograms = score_histograms(dump.scores, dump.targets)
    total, known, classes = np.zeros(len(RECALL_GRID)), 0, []
    for c, name in enumerate(dump.classes):
        curve = precision_recall(dump.scores[:, c], dump.targets[:, c])
        if len(curve.recall):
            total += precision_at(curve, RECALL_GRID)
            known += 1
        few = thin(curve, limit)
        classes.append(
            {
                'name': name,
                'r': [round(float(v), 4) for v in few.recall],
                'p': [round(float(v), 4) for v in few.precision],
                't': [float(f'{v:.4g}') for v in few.threshold.clip(histograms.low, histograms.high)],
                'pos': histograms.positive[c].tolist(),
                'neg': histograms.negative[c].tolist(),
            }
        )
    mean = charts.Series('mean of classes', RECALL_GRID.tolist(), (total / known).tolist()) if known else None
    positive, negative = histograms.positive.sum(0), histograms.negative.sum(0)
    return {
        'curve_chart': charts.line_chart(
            'pr',
            'Precision over recall',
            'recall',
            'precision',
            [mean or charts.Series('mean of classes', [], []), charts.Series('class', [], [])],
            (0, 1),
            (0, 1),
        ),
        'has_positives': known > 0,
        'histogram': charts.histogram(positive, negative, histograms.low, histograms.high),
        'classes': classes,
    }


def training_section(scalars: str | Path | None) -> dict[str, Any]:
    """Return the charts of the training log. Without a log there are none."""
    if scalars is None:
        return {'training': None, 'training_charts': []}
    log = read_training_log(scalars)
    panels = [
        ('loss', 'Loss', 'iteration', 'loss', log.losses),
        ('lr', 'Learning rate', 'iteration', 'learning rate', log.rates),
        ('val', 'Validation', log.metric_axis, 'percent', log.metrics),
    ]
    drawn = [
        charts.line_chart(id, name, x_label, y_label, _training_series(curves))
        for id, name, x_label, y_label, curves in panels
        if curves
    ]
    return {'training': log, 'training_charts': drawn, 'diverged': _diverged(log)}


def _training_series(curves: dict[str, list[tuple[int, float]]]) -> list[charts.Series]:
    series = []
    for name, points in curves.items():
        few = smooth(points, 300)
        series.append(charts.Series(name, [x for x, _ in few], [y for _, y in few]))
    return series


def _diverged(log: TrainingLog) -> int:
    """Count the logged losses that are not finite."""
    return sum(not np.isfinite(value) for points in log.losses.values() for _, value in points)


class _MistakeCard(NamedTuple):
    label: str
    score: str
    image_id: str
    picture: Picture
    truth: list[str]
    predicted: list[tuple[str, str]]


def mistake_section(
    dump: ScoreDump,
    protocol: Protocol,
    result: dict[str, Any],
    dataset: Any,
    images: str | Path | None,
    limit: int,
) -> dict[str, Any]:
    """Return the cards of false positives and false negatives, half of ``limit`` each."""
    threshold = result.get('threshold_tuned_here', protocol.threshold)
    if threshold is None:
        assert protocol.topk is not None
        predicted = top_k(dump.scores.T, protocol.topk).T
    else:
        predicted = above_threshold(dump.scores.T, threshold).T
    # With an odd number there is one more false positive, because those may be missing in the ground truth.
    wrong, missed = select_mistakes(dump.scores, dump.targets, predicted, (limit + 1) // 2)
    ids = [str(i) for i in dump.image_ids]
    infos = infos_of(dataset, [mistake.image for mistake in (*wrong, *missed)], ids)
    pictures: dict[int, Picture] = {}

    def card(mistake: Mistake) -> _MistakeCard:
        row = mistake.image
        if row not in pictures:
            pictures[row] = _picture(str(dump.image_paths[row]), infos.get(row), images)
        best = sorted(np.flatnonzero(predicted[row]), key=lambda c: -dump.scores[row, c])
        return _MistakeCard(
            dump.classes[mistake.label],
            _score(mistake.score),
            ids[row],
            pictures[row],
            [dump.classes[c] for c in np.flatnonzero(dump.targets[row] == 1)],
            [(dump.classes[c], _score(dump.scores[row, c])) for c in best],
        )

    groups = [
        (
            'False positives',
            'Labels that are predicted with the highest scores, but are absent in the ground truth.',
            [card(m) for m in wrong],
            int((predicted & (dump.targets == 0)).sum()),
        ),
        (
            'False negatives',
            'Labels that are present in the ground truth, but have the lowest scores.',
            [card(m) for m in missed[: limit // 2]],
            int((~predicted & (dump.targets == 1)).sum()),
        ),
    ]
    return {'mistake_groups': groups}


def _picture(path: str, info: dict | None, images: str | Path | None) -> Picture:
    """Read the file that the data set names, or one that only the scores name if the user allows its folder."""
    if info is not None and info.get('img_path'):
        return thumbnail(str(info['img_path']), box=info.get('box'))
    try:
        return thumbnail(image_below(path, images))
    except ValueError as error:
        return Picture(problem=str(error))


class _MapView(NamedTuple):
    image_id: str
    truth: list[str]
    card: MapCard
    heads: list[tuple[str, str, int]]


def map_section(dump: ScoreDump, model: ImageClassifier | None, dataset: Any, limit: int) -> dict[str, Any]:
    """Return the class maps, or what is missing to draw them."""
    missing = [name for name, value in (('model', model), ('data set', dataset)) if value is None]
    if model is None or dataset is None:
        return {'maps': [], 'map_layers': (), 'maps_missing': ' and the '.join(missing), 'maps_problem': ''}
    rows = choose_images(dump.targets, limit)
    try:
        cards = class_maps(model, dataset, rows, [str(i) for i in dump.image_ids], len(dump.classes))
    except NoFeatureMapError as error:
        return {'maps': [], 'map_layers': (), 'maps_missing': '', 'maps_problem': str(error)}
    views, differences = [], [0.0]
    for card in cards:
        heads = [(dump.classes[c.label], _score(c.score), int(dump.targets[card.row, c.label])) for c in card.columns]
        differences += [abs(c.score - float(dump.scores[card.row, c.label])) for c in card.columns]
        truth = [dump.classes[c] for c in np.flatnonzero(dump.targets[card.row] == 1)]
        views.append(_MapView(str(dump.image_ids[card.row]), truth, card, heads))
    return {
        'maps': views,
        'map_layers': layers_of(model),
        'maps_missing': '',
        'maps_problem': '',
        'map_difference': f'{max(differences):.2f}' if max(differences) > 0.02 else '',
    }


def _score(value: float) -> str:
    return f'{value:.3f}'
