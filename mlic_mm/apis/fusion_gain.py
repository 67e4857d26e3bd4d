"""What a fusion of scores gains over each of its members: figures, intervals, and a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlic_mm.evaluation import Protocol, ScoreFiles, evaluate_scores
from mlic_mm.evaluation.functional import bootstrap_interval
from mlic_mm.evaluation.functional.bootstrap import MIN_RESAMPLES
from mlic_mm.utils.plain_text import plain_text
from mlic_mm.visualization.plots import gain_bars, name_axis, save_plot

__all__ = ['check_resamples', 'plot_gain', 'print_gain']

MOST_COMPARED = 8
FULL_RESAMPLES = 500_000
"""Images × classes up to which 1,000 resamples take well under a minute; beyond, fewer are drawn."""


def check_resamples(resamples: int | None) -> None:
    """Refuse too few resamples for an interval. None and 0 are allowed."""
    if resamples and resamples < MIN_RESAMPLES:
        raise ValueError(f'resamples={resamples} must be at least {MIN_RESAMPLES}, or 0 for no interval')


def print_gain(
    members: ScoreFiles,
    shares: np.ndarray,
    fused: np.ndarray,
    protocol: Protocol,
    figures: Sequence[str],
    resamples: int | None,
    plot: Path | None,
) -> None:
    """Print each member beside the fusion and the interval of the difference, and plot the gain of each class.

    Args:
        members: The score files.
        shares: Weight of each.
        fused: Fused scores ``(N, C)``.
        protocol: How to evaluate.
        figures: Names of figures.
        resamples: Of the bootstrap, 0 for no interval; None for a number that fits the size of the data.
        plot: A file to plot to.

    Raises:
        ValueError: The protocol has no such figure.
    """
    reference = members.reference

    def evaluate(scores: np.ndarray, path: str = '') -> dict[str, Any]:
        return evaluate_scores(scores, reference.targets, protocol, per_class=True, classes=reference.classes)

    result = evaluate(fused)
    unknown = [name for name in figures if not isinstance(result.get(name), float)]
    if unknown:
        raise ValueError(f'unknown metric {unknown[0]!r}; preset {protocol.title} gives {", ".join(result)}')
    singles = dict(zip(members.paths, members.read(evaluate), strict=True))
    title = f'preset {protocol.title}'
    width = max(map(len, [*members.paths, title, 'fusion − model']))
    print(f'\n{title:{width}}  weight' + ''.join(f'{name:>9}' for name in figures))
    for share, (path, single) in zip(shares, singles.items(), strict=True):
        print(f'{path:{width}}  {share:6.3f}' + ''.join(f'{single[name]:9.2f}' for name in figures))
    print(f'{"fusion":{width}}        ' + ''.join(f'{result[name]:9.2f}' for name in figures))

    best = max(singles, key=lambda path: singles[path][figures[0]])
    if resamples != 0:
        every = len(members) <= MOST_COMPARED and fused.size * len(members) <= 2 * FULL_RESAMPLES
        resamples = resamples or max(100, min(1000, 1000 * FULL_RESAMPLES // fused.size))
        compared = members.paths if every else [best]
        print(f'\n95 % interval over images, {resamples} resamples' + ('' if every else ', best single model'))
        print(f'{"fusion − model":{width}}' + ''.join(f'{name:>25}' for name in figures))
        each = list(members.read(lambda scores, path: scores, compared))
        rows = _intervals(fused, each, reference.targets, protocol, figures, resamples)
        for path, row in zip(compared, rows, strict=True):
            gains = [result[name] - singles[path][name] for name in figures]
            cells = [f'{gain:+.2f} [{low:+.2f}, {high:+.2f}]' for gain, (low, high) in zip(gains, row, strict=True)]
            print(f'{path:{width}}' + ''.join(f'{cell:>25}' for cell in cells))
    if plot:
        plot_gain(plot, singles[best]['per_class'], result['per_class'], Path(best).name)
        print(f'\nplot: {plot}')


def _intervals(
    fused: np.ndarray,
    singles: Sequence[np.ndarray],
    targets: np.ndarray,
    protocol: Protocol,
    figures: Sequence[str],
    resamples: int,
) -> np.ndarray:
    """Return the intervals ``(M, figures, 2)`` of fusion minus model, for M models on the same resampled images."""
    auroc = any(name.startswith('AUROC') for name in figures)

    def differences(rows: np.ndarray) -> np.ndarray:
        results = [evaluate_scores(s[rows], targets[rows], protocol, auroc=auroc) for s in (fused, *singles)]
        values = np.array([[result.get(name, np.nan) for name in figures] for result in results])
        return (values[0] - values[1:]).ravel()

    ends = bootstrap_interval(differences, len(targets), resamples)
    return np.stack(ends, axis=-1).reshape(len(singles), len(figures), 2)


def plot_gain(out: Path, single: Mapping[str, list], fused: Mapping[str, list], name: str) -> None:
    """Write bars of the AP of each class, fusion minus the best single model, the largest gain first.

    Args:
        out: The file.
        single: ``names`` and ``AP`` of the classes for the best single model. Classes without an AP have no bar.
        fused: The same of the fusion.
        name: Of the single model.
    """
    gain = np.subtract(fused['AP'], single['AP'])
    known = [int(i) for i in np.argsort(-gain, kind='stable') if np.isfinite(gain[i])]
    figure = Figure(figsize=(7, 1.4 + 0.22 * max(4, len(known))), layout='constrained')
    axes = figure.subplots()
    mean = gain_bars(axes, gain[known], horizontal=True)
    name_axis(axes, [fused['names'][i] for i in known], 'y', [f' ({fused["AP"][i]:.1f})' for i in known], size=8)
    axes.set_ylim(max(4, len(known)) - 0.3, -0.7)
    axes.set_title(f'Fusion against {plain_text(name)}, the best single model', fontsize=10, parse_math=False)
    axes.set_xlabel(f'gain in AP, percentage points; mean {mean:+.2f} (dashed); in brackets the AP of the fusion')
    save_plot(figure, out, dpi=130)
