"""The gain of one model over another for each label, with the frequent labels first (KD from WSD, Fig. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mlic_mm.evaluation.functional import Protocol, bootstrap_interval, evaluate_scores

from .plots import INK, gain_bars, name_axis, save_plot


@dataclass(frozen=True)
class ClassGains:
    """AP of one model minus that of another, in points, for each label. Labels with more images come first.

    Attributes:
        names: Names of the labels. Labels without images are left out.
        support: Number of images that have the label.
        gain: Difference of the means over runs.
        low: Lower end of the 95 % interval over test images, as :func:`paired_bootstrap` computes it.
        high: Upper end.
    """

    names: tuple[str, ...]
    support: np.ndarray
    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray


def class_gains(
    runs_a: Sequence[np.ndarray],
    runs_b: Sequence[np.ndarray],
    targets: np.ndarray,
    classes: Sequence[str],
    preset: str | Protocol = 'mlgcn',
    num_resamples: int = 1000,
) -> ClassGains:
    """Compare the AP of each label, ``b − a``.

    Args:
        runs_a: Runs of the first model, each ``(N, C)``.
        runs_b: Runs of the second one.
        targets: ``(N, C)`` of 1, 0 and −1.
        classes: C names.
        preset: See :func:`evaluate_scores`.
        num_resamples: Number of resamples of the bootstrap, at least 100.

    Raises:
        ValueError: :func:`evaluate_scores` or :func:`bootstrap_interval` refuses an input.
    """

    def gain(rows: np.ndarray | slice) -> np.ndarray:
        means = [
            np.mean(
                [
                    evaluate_scores(run[rows], targets[rows], preset, per_class=True, auroc=False)['per_class']['AP']
                    for run in runs
                ],
                0,
            )
            for runs in (runs_a, runs_b)
        ]
        return means[1] - means[0]

    support = (targets == 1).sum(0)
    order = [int(i) for i in np.argsort(-support, kind='stable') if support[i]]
    low, high = bootstrap_interval(lambda rows: gain(rows)[order], len(targets), num_resamples)
    return ClassGains(tuple(classes[i] for i in order), support[order], gain(slice(None))[order], low, high)


def plot_class_gains(gains: ClassGains, path: Path, label: str = 'AP gained, points') -> None:
    """Write a bar with its interval for each label, and the mean over labels. An older file is replaced.

    Args:
        gains: What to plot.
        path: The file. Its name ends in .svg, .png or .pdf.
        label: Text beside the vertical axis.
    """
    place = np.arange(len(gains.names))
    with matplotlib.rc_context({'font.size': 9}):
        width = (0.27 if len(place) <= 40 else 0.2) * max(12, len(place))
        figure = Figure(figsize=(1.2 + width, 4), layout='constrained')
        axes = figure.subplots()
        mean = gain_bars(axes, gains.gain)
        axes.vlines(place, gains.low, gains.high, color=INK, linewidth=1)
        axes.annotate(
            f'mean {mean:+.1f}'.replace('-', '−'),
            (1, mean),
            xycoords=('axes fraction', 'data'),
            xytext=(4, 0),
            textcoords='offset points',
            va='center',
        )
        name_axis(axes, gains.names, 'x', [f'  {count:,}' for count in gains.support])
        axes.tick_params(axis='x', length=0)
        axes.set_xlim(-0.7, max(len(place), 1) - 0.3)
        axes.set_ylabel(label, parse_math=False)
        for side in ('top', 'right', 'bottom'):
            axes.spines[side].set_visible(False)
        save_plot(figure, path)
