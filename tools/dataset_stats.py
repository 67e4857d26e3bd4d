"""Print and plot what a config's data set holds: label counts, labels per image, co-occurrence.

python tools/dataset_stats.py configs/deeplift_coco.py --split train --out stats.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlic_mm.cli.command import CommandParser, ConfigOptions, command
from mlic_mm.datasets.from_config import SPLITS, dataset_from_config, target_rows
from mlic_mm.utils.atomic_write import atomic_write, check_can_write
from mlic_mm.utils.plain_text import plain_text

MOST = 80
"""Labels in the plot; of more, the most frequent."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description='Print and plot label counts, labels per image and co-occurrence.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--out', type=Path, help='also write the plots to this .png')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    if args.out is not None and args.out.suffix.lower() != '.png':
        parser.error(f'--out {args.out} must end in .png')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    if args.out is not None:
        check_can_write(args.out, args.force)
    dataset = dataset_from_config(args.config, args.split, args.cfg_options)
    classes = tuple(map(plain_text, dataset.metainfo['classes']))
    targets = target_rows(dataset)
    title = f'{type(dataset).__name__} ({args.split}): {len(targets)} images, {len(classes)} labels'
    print(report(title, targets, classes))
    if args.out is not None:
        plot(title, targets, classes, args.out)
        print(f'plots: {args.out}')


def report(title: str, targets: np.ndarray, classes: Sequence[str]) -> str:
    """Return the figures of ``targets`` ``(N, C)`` as text.

    Lines: labels per image; for every label, most frequent first, the images it is in, their share, in how many it is
    ignored, and the label that is most often there as well with P(other given label).
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
    """Return P(j given i) ``(C, C)`` with a zero diagonal; rows of labels never present are zero."""
    chance = present.T.astype(np.float64) @ present / np.maximum(present.sum(0), 1)[:, None]
    np.fill_diagonal(chance, 0)
    return chance


def plot(title: str, targets: np.ndarray, classes: Sequence[str], out: Path) -> None:
    """Write the three plots to ``out``."""
    present = targets == 1
    counts = present.sum(0)
    order = np.argsort(-counts, kind='stable')[:MOST].tolist()
    names = [classes[i] for i in order]
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
    name_axis(bars, names, x=False)
    image = heat.imshow(conditional(present)[np.ix_(order, order)], vmin=0, vmax=1, cmap='viridis', aspect='auto')
    heat.set(title='P(column given row)')
    name_axis(heat, names, x=True)
    figure.colorbar(image, ax=heat, shrink=0.7)
    with atomic_write(out) as part:
        figure.savefig(part, format='png', dpi=110)


def name_axis(axes: Axes, names: list[str], x: bool) -> None:
    """Write the label names along y, and along x if asked."""
    small = 8 if len(names) <= 30 else 6
    names = [name if len(name) <= 40 else f'{name[:39]}…' for name in names]
    # Names are names also where they have dollar signs, between which matplotlib would read mathematics.
    axes.set_yticks(np.arange(len(names)), names, fontsize=small, parse_math=False)
    if x:
        axes.set_xticks(np.arange(len(names)), names, fontsize=small, rotation=90, parse_math=False)


if __name__ == '__main__':
    main()
