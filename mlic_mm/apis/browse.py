"""Write a contact sheet of a data set, with labels."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from mlic_mm.datasets.from_config import dataset_from_config
from mlic_mm.datasets.transforms import BadImageError, read_image
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.choices import check_choice, check_range
from mlic_mm.utils.file_name import check_ending
from mlic_mm.utils.targets import target_row
from mlic_mm.visualization.pictures import to_uint8
from mlic_mm.visualization.sheet import contact_sheet, fit_inside, font, save_sheet, split_labels

__all__ = ['browse_dataset']

EDGE, LINE, LINES, GAP = 224, 15, 4, 8
"""Pixels: edge of a picture, height of a line of text; lines of text; pixels between tiles."""
COLUMNS = 6


def browse_dataset(
    config: str | Path,
    out: str | Path = 'sheet.jpg',
    *,
    split: Literal['train', 'val', 'test'] = 'train',
    stage: Literal['before', 'after'] = 'before',
    number: int = 24,
    seed: int | None = None,
    force: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Write a contact sheet of a data set, with labels: green, and gray in brackets if they are ignored (−1).

    Args:
        config: The config file.
        out: The file to write, .jpg or .png.
        split: Which data set of the config.
        stage: Whether the images are shown before the pipeline, with boxes if the data set gives them, or after it.
        number: How many images.
        seed: Draw the images at random. Defaults to the first ones.
        force: Replace an existing file.
        options: Settings of the config to override, by dotted keys.

    Returns:
        A line that says what the sheet shows.

    Raises:
        FileExistsError: ``out`` exists, and ``force`` is false.
        ValueError: An option is invalid, the config has no such split, or the pipeline gives no image.

    Example:
        >>> browse_dataset('configs/deeplift_demo.py', 'digits.png', number=6)  # doctest: +SKIP
        'digits.png: 6 of 2000 images of DigitScenes (train, before)'
    """
    out = Path(out)
    check_choice('stage', stage, ('before', 'after'))
    check_range('number', number, at_least=1, whole=True)
    check_ending('out', out, ('.jpg', '.jpeg', '.png'))
    check_can_write(out, force)
    dataset = dataset_from_config(config, split, dict(options or {}))
    number = min(number, len(dataset))
    indices = list(range(number))
    before = np.random.get_state()
    try:
        if seed is not None:
            np.random.seed(seed)  # transforms draw from NumPy's global generator
            indices = sorted(np.random.permutation(len(dataset))[:number].tolist())
        tiles = [_tile(dataset, index, stage) for index in indices]
    finally:
        np.random.set_state(before)
    save_sheet(contact_sheet(tiles, COLUMNS, GAP), out)
    return f'{out}: {number} of {len(dataset)} images of {type(dataset).__name__} ({split}, {stage})'


def _tile(dataset: Any, index: int, stage: str) -> Image.Image:
    """Return one picture with its labels below."""
    info = dataset.get_data_info(index)
    classes = dataset.metainfo['classes']
    canvas = Image.new('RGB', (EDGE, EDGE + LINE * (LINES + 1)), 'white')
    draw = ImageDraw.Draw(canvas)
    target = target_row(info, len(classes))
    boxes: list[Mapping[str, Any]] = []
    problem = ''
    if stage == 'after':
        sample = dataset[index]
        bgr = _pixels(sample)
        # Random augmentations may change which labels are there.
        target = _packed_labels(sample.get('data_samples'), target)
    else:
        try:
            bgr, _ = read_image(info['img_path'])
            boxes = info.get('instances', [])
            if 'box' in info:  # the person that the pipeline crops
                boxes = [dict(bbox=info['box'], ignore_flag=0)]
        except (BadImageError, FileNotFoundError) as error:
            bgr = np.full((EDGE, EDGE, 3), 225, np.uint8)
            problem = '\n'.join(textwrap.wrap(str(error), 36))
    picture, scale = fit_inside(bgr, EDGE, EDGE)
    left, top = (EDGE - picture.width) // 2, (EDGE - picture.height) // 2
    canvas.paste(picture, (left, top))
    draw.multiline_text((6, 6), problem, fill='firebrick', font=font(LINE - 4))
    for instance in boxes:
        x1, y1, x2, y2 = (value * scale for value in instance['bbox'])
        colour = 'gray' if instance['ignore_flag'] else 'lime'
        # A small box of a large photograph is less than a pixel here.
        draw.rectangle((left + x1, top + y1, left + max(x1, x2 - 1), top + max(y1, y2 - 1)), outline=colour)
    _write_labels(draw, info.get('img_id') or Path(info['img_path']).name, classes, target)
    return canvas


def _packed_labels(sample: Any, default: np.ndarray) -> np.ndarray:
    """Return the labels that the pipeline packed, or ``default``."""
    if sample is not None and 'gt_score' in sample:
        return target_row(dict(gt_score=sample.gt_score.numpy()), len(default))
    if sample is not None and 'gt_label' in sample:
        return target_row(dict(gt_label=sample.gt_label.tolist()), len(default))
    return default


def _pixels(sample: Mapping[str, Any]) -> np.ndarray:
    """Return the image of a pipeline as uint8 BGR ``(H, W, 3)``. Normalised values are stretched to the full range."""
    if 'inputs' in sample:
        image = np.asarray(sample['inputs']).transpose(1, 2, 0)
    elif 'img' in sample:
        image = np.asarray(sample['img'])
    else:
        raise ValueError(f"the pipeline gives neither 'inputs' nor 'img', only {sorted(sample)}; use --stage before")
    return to_uint8(image[..., :3] if image.shape[2] >= 3 else image[..., :1])


def _write_labels(draw: ImageDraw.ImageDraw, name: str, classes: Sequence[str], target: np.ndarray) -> None:
    """Write the name and, below it, as many labels as there is room for."""
    draw.text((0, EDGE), name[-32:], fill='gray', font=font(LINE - 4))
    present, ignored = split_labels(target, classes)
    words = [(word, 'darkgreen') for word in present] + [(word, 'gray') for word in ignored]
    x, line = 0.0, 1
    for k, (word, colour) in enumerate(words or [('no label', 'firebrick')]):
        length = draw.textlength(word + '  ', font=font(LINE - 4))
        if x and x + length > EDGE:
            x, line = 0.0, line + 1
            if line == LINES and k < len(words) - 1:
                draw.text((x, EDGE + LINE * line), f'… {len(words) - k} more', fill='gray', font=font(LINE - 4))
                return
        if line > LINES:
            return
        draw.text((x, EDGE + LINE * line), word, fill=colour, font=font(LINE - 4))
        x += length
