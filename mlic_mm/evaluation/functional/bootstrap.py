"""Is one model better than another on these images, or by chance of the images?"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .evaluate import evaluate_scores
from .matrices import as_array
from .protocol import Protocol, get_protocol

MIN_RESAMPLES = 100


class Comparison(NamedTuple):
    """A figure of two models in percent, and the interval of their difference ``b − a``."""

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
    """Compare two models, each given by its runs, by the percentile bootstrap over images (Efron, 1979).

    Each resample draws N images with replacement, the same for all runs of both models; a model's figure is the mean
    over its runs. The interval therefore covers the choice of test images, not that of the training images.

    Args:
        scores_a (Sequence[ndarray]): Runs of the first model, each ``(N, C)``.
        scores_b (Sequence[ndarray]): Runs of the second one.
        targets (ndarray): ``(N, C)`` of 1, 0 and −1.
        figures (Sequence[str]): Keys of :func:`evaluate_scores`.
        preset (str | Protocol): Of :func:`evaluate_scores`; so are ``overrides``.
        num_resamples (int): Number of resamples, at least 100.
        level (float): Coverage of the interval.
        seed (int): Of the resampling.

    Returns:
        dict[str, Comparison]: By figure.

    Raises:
        ValueError: No runs, too few resamples, a level outside (0, 1), an unknown figure, or what
            :func:`evaluate_scores` refuses.
    """
    if not scores_a or not scores_b:
        raise ValueError('paired_bootstrap needs at least one run of either model')
    runs = [as_array(run, 'scores') for run in (*scores_a, *scores_b)]
    targets, protocol = as_array(targets, 'targets'), get_protocol(preset, **overrides)
    known = evaluate_scores(runs[0], targets, protocol)
    unknown = [name for name in figures if name not in known]
    if unknown:
        raise ValueError(f'unknown figure {unknown[0]!r}; preset {protocol.title} gives {", ".join(known)}')
    auroc = any(name.startswith('AUROC') for name in figures)

    def both(rows: np.ndarray | slice) -> np.ndarray:  # (2, len(figures))
        results = [evaluate_scores(run[rows], targets[rows], protocol, auroc=auroc) for run in runs]
        # A figure may not be there for some resamples, as AUROC without positives.
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
    """Return the percentile interval over images of what ``figures`` gives for some rows.

    Args:
        figures: From row numbers ``(N,)``, some of them repeated, to K figures ``(K,)``; NaN where there is none.
        num_images: N.
        num_resamples: Number of resamples, at least 100.
        level: Coverage of the interval.
        seed: Of the resampling: the same seed draws the same images.

    Returns:
        Lower and upper ends, each ``(K,)``.

    Raises:
        ValueError: Too few resamples, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f'level={level} must lie between 0 and 1')
    return percentile_interval(bootstrap_draws(figures, num_images, num_resamples, seed), level)


def bootstrap_draws(
    figures: Callable[[np.ndarray], np.ndarray], num_images: int, num_resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return what ``figures`` gives for each resample, ``(num_resamples, K)``. Arguments as above.

    Draws of one seed and number of images can be subtracted: they are of the same images.

    Raises:
        ValueError: Too few resamples.
    """
    if num_resamples < MIN_RESAMPLES:
        raise ValueError(f'num_resamples={num_resamples} must be at least {MIN_RESAMPLES}')
    rng = np.random.default_rng(seed)
    return np.stack([figures(rng.integers(0, num_images, num_images)) for _ in range(num_resamples)])


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends, each ``(K,)``, of the central share ``level`` of draws ``(R, K)``."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
