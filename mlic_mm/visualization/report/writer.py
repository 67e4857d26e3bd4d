"""Write the page that shows a run: figures, curves, mistakes and class maps in one HTML file."""

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

    Sections whose input is not given say what gives it. Images that cannot be read are reported in their place.

    A score file may name any file of this machine. So only those images are read that ``dataset`` names itself, and
    those below ``images``.

    Args:
        dump: Scores, targets, images and class names.
        out_dir: Folder, made where it does not exist. An earlier report in it is replaced.
        preset: Evaluation protocol: that of the test's metric (:func:`mlic_mm.evaluation.shared_protocol`), or a name.
        scalars: mmengine's ``vis_data/scalars.json`` of the training run.
        model: The classifier that was scored, for the maps.
        dataset: The mmengine data set that was scored, with its test pipeline, for its images and the maps.
        images: Folder with the images, where there is no ``dataset``; none by default.
        num_mistakes: Mistakes shown, half of them false positives, half false negatives.
        num_maps: Images with class maps, and, up to six, with maps of views.
        title: Heading; by default the type of ``dataset``.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: ``scalars`` is given and not there.
        FileExistsError: ``out_dir/index.html`` exists and is not a report.
        ValueError: ``model`` or ``dataset`` has other classes than the dump, ``scalars`` is no log, negative numbers.
        NotADirectoryError: ``images`` is no folder.
    """
    if num_mistakes < 0 or num_maps < 0:
        raise ValueError(f'num_mistakes={num_mistakes} and num_maps={num_maps} must not be negative')
    if images is not None and not Path(images).is_dir():
        raise NotADirectoryError(f'{images} is no folder: give the one that the images lie in')
    page = Path(out_dir) / 'index.html'
    if page.exists() and _MARK not in page.read_text(encoding='utf-8', errors='replace')[:2000]:
        raise FileExistsError(f'{page} exists and is not a report of mlic_mm: choose another folder, or remove it')
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
    # Compact; tojson writes every '<' as an escape, so that no name can end the block.
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
