"""Read the training curves that mmengine writes as lines of JSON."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

_METRICS = ('mAP', 'CF1', 'OF1')


@dataclass(frozen=True)
class TrainingLog:
    """Curves by name. Each is a list of ``(step, value)`` in ascending order of steps.

    Attributes:
        losses: Every logged loss, over iterations.
        rates: Learning rates, over iterations.
        metrics: mAP, CF1 and OF1 of the validation, if they were measured.
        metric_axis: Unit of the steps of the metrics, ``'epoch'`` or ``'iteration'``.
        skipped: Number of lines that are no JSON object, such as a last line that was cut short.
    """

    losses: dict[str, list[tuple[int, float]]]
    rates: dict[str, list[tuple[int, float]]]
    metrics: dict[str, list[tuple[int, float]]]
    metric_axis: str
    skipped: int


def read_training_log(path: str | Path) -> TrainingLog:
    """Read ``vis_data/scalars.json``. If a step was logged twice, as in a resumed run, the later value counts.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No line is a JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such log; mmengine writes <work_dir>/<time>/vis_data/scalars.json')
    records, skipped = [], 0
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            skipped += 1
    if skipped and not records:
        raise ValueError(f'{path}: not a training log: no line is a JSON object; give the scalars.json of vis_data')

    groups: tuple[dict[str, dict[int, float]], ...] = ({}, {}, {})
    for record in records:
        step = record.get('step')
        if not isinstance(step, int):
            continue
        training = any(_is_loss(key) for key in record)
        for key, value in record.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if training:
                group = 0 if _is_loss(key) else 1 if key.rpartition('/')[2].endswith('lr') else None
            else:
                group = 2 if key.rpartition('/')[2] in _METRICS else None
            if group is not None:
                groups[group].setdefault(key, {})[step] = float(value)
    losses, rates, metrics = ({name: sorted(values.items()) for name, values in group.items()} for group in groups)
    axis = 'epoch' if any('epoch' in record for record in records) else 'iteration'
    return TrainingLog(losses, rates, metrics, axis, skipped)


def smooth(points: list[tuple[int, float]], limit: int) -> list[tuple[float, float]]:
    """Average neighbouring points, so that at most ``limit`` are left. A mean with a non-finite value is not finite."""
    size = math.ceil(len(points) / limit)
    groups = [points[i : i + size] for i in range(0, len(points), size)] if size > 1 else [[point] for point in points]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _is_loss(key: str) -> bool:
    return not key.startswith('val/') and key.rpartition('/')[2].startswith('loss')
