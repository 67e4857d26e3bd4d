"""Describe a data set: label counts, labels per image, co-occurrence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from mlic_mm.datasets.from_config import dataset_from_config
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.file_name import check_ending
from mlic_mm.utils.plain_text import plain_text
from mlic_mm.utils.targets import target_rows
from mlic_mm.visualization.plots import name_axis, save_plot

__all__ = ['conditional', 'describe_dataset', 'plot_statistics', 'statistics_text']

MOST = 80
"""Labels in the plot; of more, the most frequent."""


def describe_dataset(
    config: str | Path,
    *,
    split: Literal['train', 'val', 'test'] = 'train',
    out: str | Path | None = None,
    force: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Describe the labels of a config's data set, as text and as plots.

    Args:
        config: The config file.
        split: Which data set of the config.
        out: Write the plots to this .png file.
        force: Replace an existing file.
        options: Settings of the config to override, by dotted keys.

    Returns:
        The text, see :func:`statistics_text`.

    Raises:
        FileExistsError: ``out`` exists, and ``force`` is false.
        ValueError: The config has no such split, or the data set is empty or cannot be read.

    Example:
        >>> print(describe_dataset('configs/deeplift_demo.py'))  # doctest: +SKIP
        DigitScenes (train): 2000 images, 10 labels
        …
    """
    if out is not None:
        check_ending('out', out, ('.png',))
        check_can_write(out, force)
    dataset = dataset_from_config(config, split, dict(options or {}))
    classes = tuple(map(plain_text, dataset.metainfo['classes']))
    targets = target_rows(dataset)
    title = f'{type(dataset).__name__} ({split}): {len(targets)} images, {len(classes)} labels'
    text = statistics_text(title, targets, classes)
    if out is None:
        return text
    plot_statistics(title, targets, classes, Path(out))
    return f'{text}\nplots: {out}'


def statistics_text(title: str, targets: np.ndarray, classes: Sequence[str]) -> str:
    """Return the figures of a data set as text.

    There is a line for each label, the most frequent first: how many images have it, their share, how many ignore it,
    and the label that these images most often have as well, with P(other given label).

    Args:
        title: The first line.
        targets: ``(N, C)`` with 1, 0 and −1.
        classes: C names.

    Example:
        >>> text = statistics_text('two images', np.array([[1, 1], [1, -1]]), ['cat', 'dog'])
        >>> print(text.splitlines()[-1])
        never absent, present or ignored in all images: dog (training refuses these)
    """
    present = targets == 1
    per_image = present.sum(1)
    counts, ignored = present.sum(0), (targets == -1).sum(0)
    chance = conditional(present)
    width = max(len(name) for name in (*classes, 'label'))
    lines = [
        title,
        f'labels per image: mean {per_image.mean():.2f}, median {np.median(per_image):g}, most {per_image.max()}; '
        f'{(per_image == 0).sum()} images without labels',
        'histogram: ' + ', '.join(f'{k}: {n}' for k, n in enumerate(np.bincount(per_image)) if n),
        '',
        f'{"label":{width}}  images  share  ignored  most often with',
    ]
    for i in np.argsort(-counts, kind='stable').tolist():
        partner = int(np.argmax(chance[i]))
        company = f'{classes[partner]} ({chance[i, partner]:.2f})' if chance[i, partner] > 0 else '-'
        share = f'{counts[i] / len(targets):6.1%}'
        lines.append(f'{classes[i]:{width}}  {counts[i]:6d} {share}  {ignored[i]:7d}  {company}')
    if absent := [classes[i] for i in np.flatnonzero(counts == 0).tolist()]:
        lines += ['', f'never present: {", ".join(absent)}']
    if certain := [classes[i] for i in np.flatnonzero((ignored > 0) & (counts + ignored == len(targets))).tolist()]:
        lines += ['', f'never absent, present or ignored in all images: {", ".join(certain)} (training refuses these)']
    return '\n'.join(lines)


def conditional(present: np.ndarray) -> np.ndarray:
    """Return P(j given i) ``(C, C)`` with a zero diagonal. Rows of labels that never occur are zero.

    Args:
        present: ``(N, C)``, whether an image has a label.

    Example:
        >>> conditional(np.array([[True, True], [True, False]])).tolist()
        [[0.0, 0.5], [1.0, 0.0]]
    """
    chance = present.T.astype(np.float64) @ present / np.maximum(present.sum(0), 1)[:, None]
    np.fill_diagonal(chance, 0)
    return chance


def plot_statistics(title: str, targets: np.ndarray, classes: Sequence[str], out: Path) -> None:
    """Plot labels per image, images per label and P(column given row).

    Args:
        title: Heading of the figure.
        targets: ``(N, C)`` with 1, 0 and −1.
        classes: C names.
        out: The .png file.
    """
    present = targets == 1
    counts = present.sum(0)
    order = np.argsort(-counts, kind='stable')[:MOST].tolist()
    names = [classes[i] for i in order]
    letters = 8 if len(names) <= 30 else 6
    size = max(5.0, 0.16 * len(order))
    figure = Figure(figsize=(5 + size * 1.2, size + 3.2), layout='constrained')
    figure.suptitle(title + (f' (the {MOST} most frequent)' if len(classes) > MOST else ''))
    halves = figure.subfigures(2, 1, height_ratios=(2.6, size))
    assert isinstance(halves, np.ndarray)  # one SubFigure only where one is asked for
    top, bottom = halves
    histogram = top.subplots()
    values = np.bincount(present.sum(1))
    histogram.bar(np.arange(len(values)), values, color='tab:blue')
    histogram.set(xlabel='labels per image', ylabel='images')
    histogram.xaxis.get_major_locator().set_params(integer=True)
    bars, heat = bottom.subplots(1, 2, width_ratios=(1, 1.5))
    bars.barh(np.arange(len(order)), counts[order], color='tab:blue', label='present')
    ignored = (targets == -1).sum(0)[order]
    if ignored.any():
        bars.barh(np.arange(len(order)), ignored, left=counts[order], color='lightgray', label='ignored')
        bars.legend(loc='lower right')
    bars.set(xlabel='images', ylim=(len(order) - 0.5, -0.5))
    name_axis(bars, names, 'y', size=letters)
    image = heat.imshow(conditional(present)[np.ix_(order, order)], vmin=0, vmax=1, cmap='viridis', aspect='auto')
    heat.set(title='P(column given row)')
    name_axis(heat, names, 'y', size=letters)
    name_axis(heat, names, 'x', size=letters)
    figure.colorbar(image, ax=heat, shrink=0.7)
    save_plot(figure, out, dpi=110)
