"""Write the page that shows a run: metrics, curves, mistakes and class maps in one HTML file."""

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from mmpretrain.models import ImageClassifier

from mlic_mm.evaluation import Protocol, ScoreDump, evaluate_scores, get_protocol
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes
from mlic_mm.utils.choices import check_range

from ..page import TEMPLATES, template_environment, write_text
from . import charts
from .figures_text import auroc_notes, cf1_rows, class_rows, metric_rows, percent, protocol_axes
from .sections import curve_section, map_section, mistake_section, training_section
from .view_section import view_section

_MARK = '<meta name="generator" content="mlic_mm report">'


def write_report(
    dump: ScoreDump,
    out_dir: str | Path,
    *,
    preset: str | Protocol = 'mlgcn',
    scalars: str | Path | None = None,
    model: ImageClassifier | None = None,
    dataset: Any = None,
    images: str | Path | None = None,
    num_mistakes: int = 24,
    num_maps: int = 8,
    title: str | None = None,
) -> Path:
    """Write ``out_dir/index.html``, one file that needs no network. The same input gives the same bytes.

    A section without its input says where to get it. If an image cannot be read, the page says why.

    A score file may name any file of this machine. So the function reads only images that ``dataset`` names, and images
    below ``images``.

    Args:
        dump: Scores, targets, images and class names.
        out_dir: Folder. It is made if it does not exist. An earlier report in it is replaced.
        preset: Evaluation protocol, or its name. :func:`mlic_mm.evaluation.shared_protocol` returns that of a test.
        scalars: mmengine's ``vis_data/scalars.json`` of the training run.
        model: The classifier that was scored, for the maps.
        dataset: The data set that was scored, with its test pipeline, for its images and the maps.
        images: Folder with the images, if there is no ``dataset``.
        num_mistakes: Number of mistakes to show, half of them false positives and half false negatives.
        num_maps: Number of images with class maps. Up to six of them have maps of views.
        title: Heading. Defaults to the type of ``dataset``.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: ``scalars`` does not exist.
        FileExistsError: ``out_dir/index.html`` exists and is no report.
        ValueError: ``model`` or ``dataset`` has other classes than the dump, ``scalars`` is no log, or a number is
            negative.
        NotADirectoryError: ``images`` is no folder.
    """
    check_range('num_mistakes', num_mistakes, at_least=0, whole=True)
    check_range('num_maps', num_maps, at_least=0, whole=True)
    if images is not None and not Path(images).is_dir():
        raise NotADirectoryError(f'images={str(images)!r} must be a folder: give the one that holds the images')
    page = Path(out_dir) / 'index.html'
    if page.exists() and _MARK not in page.read_text(encoding='utf-8', errors='replace')[:2000]:
        raise FileExistsError(f'{page} exists and is no report of mlic_mm: choose another folder, or remove it')
    check_can_write(page, True)  # an earlier report is replaced
    if dataset is not None and dataset.metainfo.get('classes') is not None:
        check_same_classes(dump.classes, dataset.metainfo['classes'], 'the scores', 'the data set of the report')

    protocol, dump = get_protocol(preset), dump.with_distinct_ids()
    result = evaluate_scores(dump.scores, dump.targets, preset=protocol, per_class=True, classes=dump.classes)
    context = {
        'title': title or (type(dataset).__name__ if dataset is not None else 'Multi-label scores'),
        'preset': protocol.title,
        'num_images': len(dump.scores),
        'num_classes': len(dump.classes),
        'tiles': [(name, percent(result.get(name, math.nan))) for name in ('mAP', 'AUROC', 'CF1', 'OF1', 'mA')],
        'accuracy': percent(result['Acc']),
        'axes': protocol_axes(protocol, result),
        'metrics': metric_rows(result),
        'cf1': cf1_rows(dump, protocol, result),
        **auroc_notes(result),
        'rows': class_rows(result['per_class']),
        **curve_section(dump),
        **training_section(scalars),
        **mistake_section(dump, protocol, result, dataset, images, num_mistakes),
        **map_section(dump, model, dataset, num_maps),
        **view_section(dump, model, dataset, num_maps),
    }
    write_text(page, _render(context))
    return page


def _render(context: dict[str, Any]) -> str:
    style, script = ((TEMPLATES / name).read_text(encoding='utf-8') for name in ('report.css', 'report.js'))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    drawn: Sequence[charts.LineChart] = [context['curve_chart'], *context['training_charts']]
    data = {
        'plot': [charts.LEFT, charts.RIGHT, charts.TOP, charts.BOTTOM],
        'charts': {chart.id: chart.data for chart in drawn},
        'range': [context['histogram'].low, context['histogram'].high],
        'overall': {'pos': context['histogram'].positive, 'neg': context['histogram'].negative},
        'classes': context['classes'],
    }
    environment = template_environment(keep_trailing_newline=True)
    # Compact. tojson writes every '<' as an escape, so that no name can end the block.
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
