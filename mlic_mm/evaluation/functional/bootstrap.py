"""Intervals over test images: is one model better than another, or is it the choice of images?"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlic_mm.utils.choices import check_range

from .evaluate import evaluate_scores
from .matrices import as_array
from .protocol import Protocol, get_protocol

MIN_RESAMPLES = 100


class Comparison(NamedTuple):
    """A metric of two models in percent, and the interval of their difference ``b − a``."""

    a: float
    b: float
    difference: float
    low: float
    high: float


def paired_bootstrap(
    scores_a: Sequence[Any],
    scores_b: Sequence[Any],
    targets: Any,
    figures: Sequence[str] = ('mAP', 'CF1', 'OF1'),
    preset: str | Protocol = 'mlgcn',
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    **overrides: Any,
) -> dict[str, Comparison]:
    """Compare the runs of two models by the percentile bootstrap over images.

    Paper: `Bootstrap Methods: Another Look at the Jackknife <https://doi.org/10.1214/aos/1176344552>`_ (Efron 1979).
    Each resample draws N images with replacement, the same images for all runs of both models. The metric of a model is
    the mean over its runs. So the interval covers the choice of test images, and not that of training images.

    Args:
        scores_a: Runs of the first model, each ``(N, C)``.
        scores_b: Runs of the second model.
        targets: ``(N, C)`` of 1, 0 and −1.
        figures: Names of metrics, keys of :func:`evaluate_scores`.
        preset: See :func:`evaluate_scores`.
        num_resamples: Number of resamples, at least 100.
        level: Coverage of the interval.
        seed: Seed of the resampling.
        **overrides: See :func:`evaluate_scores`.

    Returns:
        A comparison for each metric.

    Raises:
        ValueError: There are no runs, a metric is unknown, an option is out of range, or :func:`evaluate_scores`
            refuses an input.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> targets = rng.integers(0, 2, (50, 3))
        >>> weak, good = targets + rng.normal(size=(2, 50, 3)) * np.array([2, 0.5])[:, None, None]
        >>> found = paired_bootstrap([weak], [good], targets, ['mAP'], num_resamples=100)['mAP']
        >>> found.low > 0
        True
    """
    if not scores_a or not scores_b:
        raise ValueError('paired_bootstrap needs at least one run of each model')
    runs = [as_array(run, 'scores') for run in (*scores_a, *scores_b)]
    targets, protocol = as_array(targets, 'targets'), get_protocol(preset, **overrides)
    known = evaluate_scores(runs[0], targets, protocol)
    unknown = [name for name in figures if name not in known]
    if unknown:
        raise ValueError(f'unknown metric {unknown[0]!r}; preset {protocol.title} gives {", ".join(known)}')
    auroc = any(name.startswith('AUROC') for name in figures)

    def both(rows: np.ndarray | slice) -> np.ndarray:  # (2, len(figures))
        results = [evaluate_scores(run[rows], targets[rows], protocol, auroc=auroc) for run in runs]
        # Some resamples may not have a metric, such as AUROC without positives.
        values = np.array([[result.get(name, np.nan) for name in figures] for result in results])
        return np.stack([values[: len(scores_a)].mean(axis=0), values[len(scores_a) :].mean(axis=0)])

    a, b = both(slice(None))
    low, high = bootstrap_interval(
        lambda rows: np.subtract(*both(rows)[::-1]), len(targets), num_resamples, level, seed
    )
    return {
        name: Comparison(*(float(v) for v in (a[i], b[i], b[i] - a[i], low[i], high[i])))
        for i, name in enumerate(figures)
    }


def bootstrap_interval(
    figures: Callable[[np.ndarray], np.ndarray],
    num_images: int,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile interval over images of the metrics that ``figures`` computes.

    Args:
        figures: Takes row numbers ``(N,)``, some of them repeated, and returns K metrics ``(K,)``. An undefined metric
            is NaN.
        num_images: N.
        num_resamples: Number of resamples, at least 100.
        level: Coverage of the interval.
        seed: Seed of the resampling. The same seed draws the same images.

    Returns:
        Lower and upper ends, each ``(K,)``.

    Raises:
        ValueError: An option is out of range.
    """
    check_range('level', level, above=0, below=1)
    return percentile_interval(bootstrap_draws(figures, num_images, num_resamples, seed), level)


def bootstrap_draws(
    figures: Callable[[np.ndarray], np.ndarray], num_images: int, num_resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return the metrics of each resample, ``(num_resamples, K)``. The arguments are those of the function above.

    Draws with one seed and one number of images can be subtracted, because they are of the same images.

    Raises:
        ValueError: There are too few resamples.
    """
    check_range('num_resamples', num_resamples, at_least=MIN_RESAMPLES, whole=True)
    rng = np.random.default_rng(seed)
    return np.stack([figures(rng.integers(0, num_images, num_images)) for _ in range(num_resamples)])


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends, each ``(K,)``, of the central share ``level`` of draws ``(R, K)``."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
