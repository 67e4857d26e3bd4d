"""The figures of a table's rows from the scores of their runs."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlic_mm.evaluation.functional import Protocol, evaluate_scores, get_protocol
from mlic_mm.evaluation.functional.bootstrap import bootstrap_draws, percentile_interval
from mlic_mm.evaluation.scores.score_dump import ScoreDump


@dataclass(frozen=True)
class Figure:
    """A figure, in percent if it is one of :func:`evaluate_scores`.

    Args:
        mean: Mean over the runs.
        low: Lower end of the 95 % bootstrap interval of that mean over test images. NaN if there is none.
        high: Upper end of the interval.
        spread: Standard deviation over the runs. NaN for a single run.
    """

    mean: float
    low: float
    high: float
    spread: float


class RowFigures:
    """The figures of one row, and those of its resampled images, which serve every pair that the row is in.

    Args:
        runs: At least one. They differ in their seeds, and have the same images in the same order.
        columns: A figure of :func:`evaluate_scores`, or ``AP/<class>``, by heading.
        preset: Protocol of :func:`evaluate_scores`. A table has the protocol of its paper, whatever metrics a test has.
        num_resamples: Resamples of the bootstrap.

    Raises:
        ValueError: The runs have different images, the resamples are too few, or a figure or class does not exist.
    """

    def __init__(
        self, runs: Sequence[ScoreDump], columns: Mapping[str, str], preset: str | Protocol, num_resamples: int = 200
    ) -> None:
        first = runs[0]
        for run in runs[1:]:
            if not np.array_equal(run.image_ids, first.image_ids) or run.classes != first.classes:
                raise ValueError('the runs of a row were tested on different images or classes')
        names, protocol = list(columns.values()), get_protocol(preset)
        self.columns = tuple(columns)
        self.image_ids = first.image_ids
        self.each = np.array([_values(run, slice(None), names, protocol) for run in runs])  # (runs, K)

        def mean(rows: np.ndarray) -> np.ndarray:
            return np.mean([_values(run, rows, names, protocol) for run in runs], axis=0)

        self.draws = bootstrap_draws(mean, len(first.targets), num_resamples)  # (num_resamples, K)

    @property
    def figures(self) -> dict[str, Figure]:
        """By heading."""
        spread = self.each.std(axis=0, ddof=1) if len(self.each) > 1 else np.full(len(self.columns), np.nan)
        return self._figures(self.each.mean(axis=0), self.draws, spread)

    def minus(self, other: 'RowFigures') -> dict[str, Figure]:
        """Return these figures minus those of another row, paired by test image.

        Raises:
            ValueError: The other row has other images, figures or numbers of resamples.
        """
        if (
            not np.array_equal(self.image_ids, other.image_ids)
            or self.columns != other.columns
            or len(self.draws) != len(other.draws)
        ):
            raise ValueError('rows of different images, figures or numbers of resamples have no difference')
        nothing = np.full(len(self.columns), np.nan)
        return self._figures(self.each.mean(axis=0) - other.each.mean(axis=0), self.draws - other.draws, nothing)

    def _figures(self, mean: np.ndarray, draws: np.ndarray, spread: np.ndarray) -> dict[str, Figure]:
        low, high = percentile_interval(draws)
        values = zip(self.columns, mean, low, high, spread, strict=True)
        return {heading: Figure(float(m), float(a), float(b), float(sd)) for heading, m, a, b, sd in values}


def measured_figures(runs: Sequence[Mapping[str, float]], columns: Mapping[str, str]) -> dict[str, Figure]:
    """Average what the metrics of a test measured besides scores.

    Args:
        runs: Figures by name, one dictionary for each seed.
        columns: Pattern of one name, by heading.

    Raises:
        ValueError: No name or several names match a pattern.

    Example:
        >>> figures = measured_figures([{'corloc_val': 40.0}, {'corloc_val': 42.0}], {'CorLoc': 'corloc_*'})
        >>> figures['CorLoc'].mean
        41.0
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


def _values(dump: ScoreDump, rows: np.ndarray | slice, names: Sequence[str], protocol: Protocol) -> list[float]:
    per_class = any(name.startswith('AP/') for name in names)
    result = evaluate_scores(
        dump.scores[rows],
        dump.targets[rows],
        protocol,
        per_class=per_class,
        classes=dump.classes if per_class else None,
        auroc=any(name.startswith('AUROC') for name in names),
    )
    if per_class:
        result |= {f'AP/{name}': ap for name, ap in zip(dump.classes, result['per_class']['AP'], strict=True)}
    missing = [name for name in names if name not in result and not name.startswith('AUROC')]
    if missing:
        raise ValueError(f'no figure {missing[0]!r}: the protocol {protocol.title} gives {", ".join(result)}')
    return [result.get(name, float('nan')) for name in names]  # AUROC is not there for some resamples
