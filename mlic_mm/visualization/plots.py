"""Plots in files: label names along an axis, bars of gains, saving. The charts of pages are in ``report.charts``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.plain_text import plain_text

__all__ = ['GAIN', 'INK', 'LOSS', 'PLOTS', 'gain_bars', 'name_axis', 'save_plot']

PLOTS = ('.svg', '.png', '.pdf')
"""Endings of the files that :func:`save_plot` writes."""
GAIN, LOSS, INK = '#1f5fbf', '#c2410c', '#1b1f27'
"""Colours of the report. Colour-blind readers can tell them apart."""

_LONGEST = 40


def save_plot(figure: Figure, path: Path, dpi: int = 144) -> None:
    """Write a figure. The same figure gives the same bytes. The write is atomic; an older file is replaced.

    Args:
        figure: What to write.
        path: The file. Its name ends in .svg, .png or .pdf.
        dpi: Pixels per inch of a .png.
    """
    dates = {'.svg': {'Date': None}, '.pdf': {'CreationDate': None}}
    with matplotlib.rc_context({'svg.hashsalt': 'mlic_mm'}), atomic_write(path) as part:
        figure.savefig(part, dpi=dpi, metadata=dates.get(path.suffix.lower()))


def name_axis(
    axes: Axes,
    names: Sequence[str],
    axis: Literal['x', 'y'],
    extra: Sequence[str] | None = None,
    size: float | None = None,
) -> None:
    """Write one name at each whole number of an axis, from 0 on.

    Long names are cut. Control characters are written as escapes. Dollar signs are no mathematics here.

    Args:
        axes: The plot.
        names: Names of labels.
        axis: Along ``'x'`` the names are turned by 90 degrees.
        extra: Texts to write behind the names, which are never cut.
        size: Size of the letters in points. Defaults to that of the figure.
    """
    texts = [name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}…' for name in map(plain_text, names)]
    texts = [name + more for name, more in zip(texts, extra or [''] * len(texts), strict=True)]
    write = axes.set_xticks if axis == 'x' else axes.set_yticks
    write(np.arange(len(texts)), texts, fontsize=size, parse_math=False, rotation=90 if axis == 'x' else 0)


def gain_bars(axes: Axes, gains: np.ndarray, horizontal: bool = False) -> float:
    """Draw a bar for each gain, a line at zero and a dashed line at the mean. Gains are blue and losses are red.

    Args:
        axes: The plot.
        gains: ``(L,)``, finite.
        horizontal: Whether the bars go to the side instead of upwards.

    Returns:
        The mean. It is 0 if there are no gains.
    """
    mean = float(np.mean(gains)) if len(gains) else 0.0
    colours = [GAIN if gain >= 0 else LOSS for gain in gains]
    places = np.arange(len(gains))
    if horizontal:
        axes.barh(places, gains, 0.72, color=colours)
    else:
        axes.bar(places, gains, 0.72, color=colours)
    line = axes.axvline if horizontal else axes.axhline
    line(0, color=INK, linewidth=0.8)
    line(mean, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.grid(axis='x' if horizontal else 'y', color='#dde1e8', linewidth=0.8)
    axes.set_axisbelow(True)
    return mean
