"""Write the page that shows a run: figures, curves, mistakes and class maps in one HTML file."""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from torch import nn

from mlic_mm.evaluation import evaluate_scores
from mlic_mm.evaluation.functional.predictions import above_threshold, top_k
from mlic_mm.evaluation.functional.protocol import Protocol, get_protocol
from mlic_mm.evaluation.score_dump import ScoreDump
from mlic_mm.utils.checks import check_same_classes

from . import charts
from .class_maps import MapCard, NoFeatureMapError, choose_images, class_maps, layers_of
from .curves import RECALL_GRID, precision_at, precision_recall, score_histograms, thin
from .figures_text import class_rows, metric_rows, percent, protocol_axes
from .mistakes import Mistake, select_mistakes
from .pictures import Picture, thumbnail
from .training_log import TrainingLog, read_training_log, smooth

_TEMPLATES = Path(__file__).parent / 'templates'
_MARK = '<meta name="generator" content="mlic_mm report">'
_POINTS = 24_000
"""Points of all precision-recall curves together; keeps the page small with thousands of classes."""


def write_report(
    dump: ScoreDump,
    out_dir: str | Path,
    *,
    preset: str | Protocol = 'mlgcn',
    scalars: str | Path | None = None,
    model: nn.Module | None = None,
    dataset: Any = None,
    num_mistakes: int = 24,
    num_maps: int = 8,
    title: str | None = None,
) -> Path:
    """Write ``out_dir/index.html``, one file that needs no network. The same input gives the same bytes.

    Sections whose input is not given say what gives it. Images that cannot be read are reported in their place.

    Args:
        dump: Scores, targets, images and class names.
        out_dir: Folder, made where it does not exist. An earlier report in it is replaced.
        preset: Evaluation protocol; see :func:`mlic_mm.evaluation.evaluate_scores`.
        scalars: mmengine's ``vis_data/scalars.json`` of the training run.
        model: The classifier that was scored, for the class maps.
        dataset: The data set that was scored, with its test pipeline, for the class maps.
        num_mistakes: Mistakes shown, half of them false positives, half false negatives.
        num_maps: Images with class maps.
        title: Heading; by default the type of ``dataset``.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: ``scalars`` is given and not there.
        FileExistsError: ``out_dir/index.html`` exists and is not a report.
        ValueError: ``model`` or ``dataset`` has other classes than the dump, ``scalars`` is not a log, a negative number.
    """
    if num_mistakes < 0 or num_maps < 0:
        raise ValueError(f'num_mistakes={num_mistakes} and num_maps={num_maps} must not be negative')
    page = Path(out_dir) / 'index.html'
    if page.exists() and _MARK not in page.read_text(encoding='utf-8', errors='replace')[:2000]:
        raise FileExistsError(f'{page} exists and is not a report of mlic_mm: choose another folder, or remove it')
    if dataset is not None and dataset.metainfo.get('classes') is not None:
        check_same_classes(dump.classes, dataset.metainfo['classes'], 'the scores', 'the data set of the report')

    protocol = get_protocol(preset)
    result = evaluate_scores(dump.scores, dump.targets, preset=protocol, per_class=True, classes=dump.classes)
    context = {
        'title': title or (type(dataset).__name__ if dataset is not None else 'Multi-label scores'),
        'preset': preset if isinstance(preset, str) else 'custom',
        'num_images': len(dump.scores),
        'num_classes': len(dump.classes),
        'tiles': [(name, percent(result[name])) for name in ('mAP', 'CF1', 'OF1', 'mA')],
        'accuracy': percent(result['Acc']),
        'axes': protocol_axes(protocol, result),
        'metrics': metric_rows(result),
        'rows': class_rows(result['per_class']),
        **_curve_section(dump),
        **_training_section(scalars),
        **_mistake_section(dump, protocol, result, num_mistakes),
        **_map_section(dump, model, dataset, num_maps),
    }
    _write(page, _render(context))
    return page


def _curve_section(dump: ScoreDump) -> dict[str, Any]:
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
                't': [float(f'{v:.4g}') for v in few.threshold],
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


def _training_section(scalars: str | Path | None) -> dict[str, Any]:
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


def _mistake_section(dump: ScoreDump, protocol: Protocol, result: dict[str, Any], limit: int) -> dict[str, Any]:
    threshold = result.get('threshold_tuned_here', protocol.threshold)
    if threshold is None:
        assert protocol.topk is not None
        predicted = top_k(dump.scores.T, protocol.topk).T
    else:
        predicted = above_threshold(dump.scores.T, threshold).T
    pictures: dict[str, Picture] = {}

    def card(mistake: Mistake) -> _MistakeCard:
        row, path = mistake.image, str(dump.image_paths[mistake.image])
        if path not in pictures:
            pictures[path] = thumbnail(path)
        best = sorted(np.flatnonzero(predicted[row]), key=lambda c: -dump.scores[row, c])
        return _MistakeCard(
            dump.classes[mistake.label],
            _score(mistake.score),
            str(dump.image_ids[row]),
            pictures[path],
            [dump.classes[c] for c in np.flatnonzero(dump.targets[row] == 1)],
            [(dump.classes[c], _score(dump.scores[row, c])) for c in best],
        )

    # With an odd number the false positives get the one more: they are what may be missing in the ground truth.
    wrong, missed = select_mistakes(dump.scores, dump.targets, predicted, (limit + 1) // 2)
    groups = [
        (
            'False positives',
            'Predicted with the highest scores, and absent from the ground truth.',
            [card(m) for m in wrong],
            int((predicted & (dump.targets == 0)).sum()),
        ),
        (
            'False negatives',
            'In the ground truth, and given the lowest scores.',
            [card(m) for m in missed[: limit // 2]],
            int((~predicted & (dump.targets == 1)).sum()),
        ),
    ]
    return {'mistake_groups': groups}


class _MapView(NamedTuple):
    image_id: str
    truth: list[str]
    card: MapCard
    heads: list[tuple[str, str, int]]


def _map_section(dump: ScoreDump, model: nn.Module | None, dataset: Any, limit: int) -> dict[str, Any]:
    missing = [name for name, value in (('model', model), ('data set', dataset)) if value is None]
    if model is None or dataset is None:
        return {'maps': [], 'map_layers': (), 'maps_missing': ' and '.join(missing), 'maps_problem': ''}
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


def _render(context: dict[str, Any]) -> str:
    style, script = ((_TEMPLATES / name).read_text(encoding='utf-8') for name in ('report.css', 'report.js'))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    drawn: Sequence[charts.LineChart] = [context['curve_chart'], *context['training_charts']]
    data = {
        'plot': [charts.LEFT, charts.RIGHT, charts.TOP, charts.BOTTOM],
        'charts': {chart.id: chart.data for chart in drawn},
        'range': [context['histogram'].low, context['histogram'].high],
        'overall': {'pos': context['histogram'].positive, 'neg': context['histogram'].negative},
        'classes': context['classes'],
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Compact and with every '<' written as an escape, so that no name can end the block.
    environment.policies['json.dumps_kwargs'] = {'sort_keys': True, 'separators': (',', ':')}
    return environment.get_template('report.html').render(
        **context,
        frame=charts,
        mark=Markup(_MARK),
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        data=data,
    )


def _write(page: Path, text: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    part = page.with_name(f'.{page.name}.{os.getpid()}')
    try:
        part.write_text(text, encoding='utf-8')
        os.replace(part, page)
    finally:
        part.unlink(missing_ok=True)
