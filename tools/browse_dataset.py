"""Write a contact sheet of a config's data set, with labels.

    python tools/browse_dataset.py configs/deeplift_coco.py --split train --out sheet.jpg
    python tools/browse_dataset.py configs/deeplift_coco.py --stage after --out augmented.jpg

``--stage before`` shows the files as they are, ``after`` what the pipeline makes of them. Labels are green, ignored
ones (-1) gray and in brackets. Boxes are drawn before the pipeline, where the data set gives them
(``--cfg-options train_dataloader.dataset.with_boxes=True``).
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mlic_mm.cli.command import CommandParser, ConfigOptions, command
from mlic_mm.datasets.from_config import SPLITS, dataset_from_config, target_row
from mlic_mm.datasets.transforms import BadImageError, read_image
from mlic_mm.utils.atomic_write import atomic_write, check_can_write

EDGE, LINE, LINES, GAP = 224, 15, 4, 8
"""Pixels: edge of a picture, height of a line of text; lines of text; pixels between tiles."""
COLUMNS = 6


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description='Write a contact sheet of a data set, with labels.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--out', type=Path, default=Path('sheet.jpg'), help='.jpg or .png (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    parser.add_argument('--stage', choices=('before', 'after'), default='before', help='the pipeline (default: before)')
    parser.add_argument('--number', type=int, default=24, help='images to show (default: %(default)s)')
    parser.add_argument('--seed', type=int, help='draw the images at random; default: the first ones')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    if args.number < 1:
        parser.error('--number must be at least 1')
    if args.out.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
        parser.error(f'--out {args.out} must end in .jpg or .png')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    browse(parse_args(argv))


def browse(args: argparse.Namespace) -> None:
    check_can_write(args.out, args.force)
    dataset = dataset_from_config(args.config, args.split, args.cfg_options)
    number = min(args.number, len(dataset))
    indices = list(range(number))
    if args.seed is not None:
        np.random.seed(args.seed)  # the pipeline's source of randomness as well
        indices = sorted(np.random.permutation(len(dataset))[:number].tolist())
    tiles = [tile(dataset, index, args.stage) for index in indices]
    sheet = contact_sheet(tiles)
    with atomic_write(args.out) as part:
        sheet.save(part, quality=90)
    print(f'{args.out}: {number} of {len(dataset)} images of {type(dataset).__name__} ({args.split}, {args.stage})')


def tile(dataset: Any, index: int, stage: str) -> Image.Image:
    """Return one picture with its labels below."""
    info = dataset.get_data_info(index)
    classes = dataset.metainfo['classes']
    canvas = Image.new('RGB', (EDGE, EDGE + LINE * (LINES + 1)), 'white')
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), LINE - 4)
    target = target_row(info, len(classes))
    boxes: list[dict] = []
    problem = ''
    if stage == 'after':
        sample = dataset[index]
        bgr = shown(sample)
        if 'data_samples' in sample:  # random augmentations may change what is there
            target = target_row(labels_of(sample['data_samples'], target), len(classes))
    else:
        try:
            bgr, _ = read_image(info['img_path'])
            boxes = info.get('instances', [])
            if 'box' in info:  # the person that the pipeline crops
                boxes = [dict(bbox=info['box'], ignore_flag=0)]
        except (BadImageError, FileNotFoundError) as error:
            bgr = np.full((EDGE, EDGE, 3), 225, np.uint8)
            problem = '\n'.join(textwrap.wrap(str(error), 36))
    picture = Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))
    scale = EDGE / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    left, top = (EDGE - picture.width) // 2, (EDGE - picture.height) // 2
    canvas.paste(picture, (left, top))
    draw.multiline_text((6, 6), problem, fill='firebrick', font=font)
    for instance in boxes:
        x1, y1, x2, y2 = (value * scale for value in instance['bbox'])
        colour = 'gray' if instance['ignore_flag'] else 'lime'
        # A small box of a large photograph is less than a pixel here.
        draw.rectangle((left + x1, top + y1, left + max(x1, x2 - 1), top + max(y1, y2 - 1)), outline=colour)
    write_labels(draw, font, info.get('img_id') or Path(info['img_path']).name, classes, target)
    return canvas


def labels_of(data_sample: Any, default: np.ndarray) -> dict:
    """Return the labels that the pipeline packed."""
    if 'gt_score' in data_sample:
        return dict(gt_score=data_sample.gt_score.numpy())
    return dict(gt_label=data_sample.gt_label.tolist()) if 'gt_label' in data_sample else dict(gt_score=default)


def shown(sample: dict) -> np.ndarray:
    """Return what the pipeline gives as uint8 BGR ``(H, W, 3)``; normalised values are stretched to the full range."""
    if 'inputs' in sample:
        image = np.asarray(sample['inputs']).transpose(1, 2, 0)
    elif 'img' in sample:
        image = np.asarray(sample['img'])
    else:
        raise ValueError(f"the pipeline gives neither 'inputs' nor 'img', only {sorted(sample)}; use --stage before")
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image[..., :3]


def write_labels(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, name: str, classes: Sequence[str], target: np.ndarray
) -> None:
    """Write the name and, below it, the labels, as many as there is room for."""
    draw.text((0, EDGE), name[-32:], fill='gray', font=font)
    words = [(classes[i], 'darkgreen') for i in np.flatnonzero(target == 1).tolist()]
    words += [(f'({classes[i]})', 'gray') for i in np.flatnonzero(target == -1).tolist()]
    x, line = 0.0, 1
    for k, (word, colour) in enumerate(words or [('no label', 'firebrick')]):
        length = draw.textlength(word + '  ', font=font)
        if x and x + length > EDGE:
            x, line = 0.0, line + 1
            if line == LINES and k < len(words) - 1:
                word, colour = f'… {len(words) - k} more', 'gray'
        if line > LINES:
            break
        draw.text((x, EDGE + LINE * line), word, fill=colour, font=font)
        if colour == 'gray' and word.startswith('…'):
            break
        x += length


def contact_sheet(tiles: list[Image.Image]) -> Image.Image:
    """Lay the tiles out in rows."""
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].width + GAP, tiles[0].height + GAP
    sheet = Image.new('RGB', (columns * width + GAP, rows * height + GAP), 'white')
    for k, picture in enumerate(tiles):
        sheet.paste(picture, (GAP + k % columns * width, GAP + k // columns * height))
    return sheet


if __name__ == '__main__':
    main()
