"""The figures of a table's rows from the scores of their runs."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .functional import bootstrap_interval, evaluate_scores
from .score_dump import ScoreDump


@dataclass(frozen=True)
class Figure:
    """A figure, in percent where it is one of :func:`evaluate_scores`.

    Args:
        mean: Over the runs.
        low, high: 95 % bootstrap interval of that mean over test images, NaN where there is none.
        spread: Standard deviation over the runs, NaN for a single one.
    """

    mean: float
    low: float
    high: float
    spread: float


def table_figures(
    runs: Sequence[ScoreDump], columns: Mapping[str, str], preset: str, num_resamples: int = 200
) -> dict[str, Figure]:
    """Evaluate the runs of one row, which differ in their seeds.

    Args:
        runs: At least one; all of the same images in the same order.
        columns: Heading to a figure of :func:`evaluate_scores`, or ``AP/<class>``.
        preset: Of :func:`evaluate_scores`.
        num_resamples: Of the bootstrap.

    Raises:
        ValueError: Runs of different images, or a figure or class that is not there.
    """
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.image_ids, first.image_ids) or run.classes != first.classes:
            raise ValueError('the runs of a row were tested on different images or classes')
    names = list(columns.values())
    each = np.array([_values(run, slice(None), names, preset) for run in runs])  # (runs, K)

    def mean(rows: np.ndarray) -> np.ndarray:
        return np.mean([_values(run, rows, names, preset) for run in runs], axis=0)

    low, high = bootstrap_interval(mean, len(first.targets), num_resamples)
    spread = each.std(axis=0, ddof=1) if len(runs) > 1 else np.full(len(names), np.nan)
    values = zip(columns, each.mean(axis=0), low, high, spread, strict=True)
    return {heading: Figure(float(mean), float(a), float(b), float(sd)) for heading, mean, a, b, sd in values}


def measured_figures(runs: Sequence[Mapping[str, float]], columns: Mapping[str, str]) -> dict[str, Figure]:
    """Average what a test's metrics measured besides scores.

    Args:
        runs: Figures by name, one dictionary a seed.
        columns: Heading to the pattern of one name.

    Raises:
        ValueError: No name or several match a pattern.
    """
    figures = {}
    for heading, pattern in columns.items():
        names = fnmatch.filter(runs[0], pattern)
        if len(names) != 1:
            raise ValueError(
                f'{pattern!r} is {" and ".join(names) or "none"} of what was measured: {", ".join(runs[0])}'
            )
        values = np.array([run[names[0]] for run in runs])
        spread = values.std(ddof=1) if len(runs) > 1 else np.nan
        figures[heading] = Figure(float(values.mean()), float('nan'), float('nan'), float(spread))
    return figures


def table_difference(
    runs: Sequence[ScoreDump],
    other: Sequence[ScoreDump],
    columns: Mapping[str, str],
    preset: str,
    num_resamples: int = 200,
) -> dict[str, Figure]:
    """Return the figures of one row minus those of another, paired by test image. Arguments as above."""
    names = list(columns.values())

    def difference(rows: np.ndarray | slice) -> np.ndarray:
        a, b = ([_values(run, rows, names, preset) for run in group] for group in (runs, other))
        return np.mean(a, axis=0) - np.mean(b, axis=0)

    low, high = bootstrap_interval(difference, len(runs[0].targets), num_resamples)
    values = zip(columns, difference(slice(None)), low, high, strict=True)
    return {heading: Figure(float(mean), float(a), float(b), float('nan')) for heading, mean, a, b in values}


def _values(dump: ScoreDump, rows: np.ndarray | slice, names: Sequence[str], preset: str) -> list[float]:
    per_class = any(name.startswith('AP/') for name in names)
    result = evaluate_scores(
        dump.scores[rows], dump.targets[rows], preset, per_class=per_class, classes=dump.classes if per_class else None
    )
    if per_class:
        result |= {f'AP/{name}': ap for name, ap in zip(dump.classes, result['per_class']['AP'], strict=True)}
    missing = [name for name in names if name not in result]
    if missing:
        raise ValueError(f'no figure {missing[0]!r}: the protocol {preset} gives {", ".join(result)}')
    return [result[name] for name in names]
