"""Geometry of the charts of a page: ticks and SVG paths. The template ``chart.html`` draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 440, 264
LEFT, RIGHT, TOP, BOTTOM = 60, 430, 10, 222
"""The viewBox and the plotting area in it. The script of the page gets them as data."""


@dataclass(frozen=True)
class Series:
    """A named line. It is broken where ``y`` is not finite."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Drawn:
    """The line of a series as SVG path data, with dots at its points if they are few."""

    name: str
    line: str
    dots: str


@dataclass(frozen=True)
class LineChart:
    """Everything that the template needs of a line chart, and in ``data`` everything that the script needs."""

    id: str
    title: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    drawn: list[Drawn]
    data: dict


def line_chart(
    id: str,
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> LineChart:
    """Lay out lines in one frame.

    Args:
        id: Name of the chart in the page.
        title: Heading.
        x_label: Text below the horizontal axis.
        y_label: Text beside the vertical axis.
        series: The lines.
        x_range: Ends of the horizontal axis. Defaults to those of the values.
        y_range: Ends of the vertical axis. Defaults to those of the finite values and 0.
    """
    xs = [x for line in series for x in line.x]
    ys = [y for line in series for y in line.y if np.isfinite(y)]
    x0, x1 = x_range or (min(xs, default=0), max(xs, default=1))
    y0, y1 = y_range or (min(0.0, *ys, 0.0), max([*ys, 0.0]))
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return (LEFT + (x - x0) / (x1 - x0) * (RIGHT - LEFT), BOTTOM - (y - y0) / (y1 - y0) * (BOTTOM - TOP))

    drawn = [_draw(line, [place(x, y) for x, y in zip(line.x, line.y, strict=True)]) for line in series]
    lines = [
        {'name': s.name, 'x': [_short(x) for x in s.x], 'y': [_short(y) if np.isfinite(y) else None for y in s.y]}
        for s in series
    ]
    return LineChart(
        id,
        title,
        x_label,
        y_label,
        [(round(place(x, y0)[0], 1), f'{x:g}') for x in ticks(x0, x1)],
        [(round(place(x0, y)[1], 1), f'{y:g}') for y in ticks(y0, y1)],
        drawn,
        {'x': [x0, x1], 'y': [y0, y1], 'xLabel': x_label, 'series': lines},
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten inside ``[low, high]``.

    Example:
        >>> ticks(0, 87)
        [0.0, 20.0, 40.0, 60.0, 80.0]
    """
    raw = (high - low) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(float(m * power) for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f'{i * step:.12g}') for i in range(first, last + 1)]


@dataclass(frozen=True)
class Histogram:
    """Scores of positives (bars up) and of negatives (bars down), as SVG path data."""

    up: str
    down: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    positive: list[int]
    negative: list[int]
    low: float
    high: float


def histogram(positive: np.ndarray, negative: np.ndarray, low: float, high: float) -> Histogram:
    """Lay out two histograms ``(B,)`` on one axis from ``low`` to ``high``.

    Heights are the square root of the share of each bin, so that the few scores on the wrong side are visible.
    """
    middle, half = (TOP + BOTTOM) / 2, (BOTTOM - TOP) / 2
    shares = [(share, f'{share:.0%}') for share in (1, 0.25, 0.05)]
    return Histogram(
        _bars(positive, -half),
        _bars(negative, half),
        [(round(LEFT + (x - low) / (high - low) * (RIGHT - LEFT), 1), f'{x:g}') for x in ticks(low, high)],
        [(round(middle + sign * half * share**0.5, 1), text) for sign in (-1, 1) for share, text in shares],
        positive.tolist(),
        negative.tolist(),
        low,
        high,
    )


def _bars(counts: np.ndarray, height: float) -> str:
    middle, width = (TOP + BOTTOM) / 2, (RIGHT - LEFT) / len(counts)
    ends = middle + height * np.sqrt(counts / max(1, counts.sum()))
    return ''.join(
        f'M{LEFT + i * width + 0.5:.1f} {middle:.1f}V{ends[i]:.1f}h{width - 1:.1f}V{middle:.1f}z'
        for i in np.flatnonzero(counts)
    )


def _draw(line: Series, places: list[tuple[float, float]]) -> Drawn:
    path, pen = [], 'M'
    finite = [np.isfinite(y) for y in line.y]
    for (x, y), ok in zip(places, finite, strict=True):
        if ok:
            path.append(f'{pen}{x:.1f} {y:.1f}')
        pen = 'L' if ok else 'M'
    few = sum(finite) <= 40
    dots = [f'M{x:.1f} {y:.1f}h0' for (x, y), ok in zip(places, finite, strict=True) if ok and few]
    return Drawn(line.name, ''.join(path), ''.join(dots))


def _short(value: float) -> float:
    return float(f'{value:.5g}')
