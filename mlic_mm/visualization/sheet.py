"""Sheets of pictures: tiles in rows, words beside the pictures, one image file."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mlic_mm.utils.atomic_write import atomic_write

__all__ = ['Words', 'contact_sheet', 'draw_words', 'fit_inside', 'font', 'save_sheet', 'split_labels']

Words = Sequence[tuple[str, str]]
"""Words with their colours."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all sheets. It comes with matplotlib, so that it is the same on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), size)


def fit_inside(bgr: np.ndarray, width: int, height: int) -> tuple[Image.Image, float]:
    """Enlarge or shrink a picture until it touches the border of a frame.

    Args:
        bgr: uint8 BGR ``(H, W, 3)``.
        width: Width of the frame in pixels.
        height: Height of the frame.

    Returns:
        The picture and its scale, by which the coordinates of boxes are multiplied.

    Example:
        >>> picture, scale = fit_inside(np.zeros((50, 100, 3), np.uint8), 80, 80)
        >>> picture.size, scale
        ((80, 40), 0.8)
    """
    picture = Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size), scale


def draw_words(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], words: Words, room: float, size: int, space: float = 7
) -> None:
    """Write words of different colours in one line. The word that does not fit is cut, and ends in ``…``.

    Args:
        draw: What to write on.
        place: Upper left corner of the line, ``(x, y)``.
        words: Words with their colours.
        room: Width of the line in pixels.
        size: Size of the letters in pixels.
        space: Pixels between two words.
    """
    x, y = place
    end = x + room
    for word, colour in words:
        shown = word
        while shown and x + draw.textlength(shown, font(size)) > end:
            shown = shown.removesuffix('…')[:-1].rstrip(' ,')
            shown = shown and f'{shown}…'
        draw.text((x, y), shown, colour, font(size))
        x += draw.textlength(shown, font(size)) + space


def split_labels(target: np.ndarray, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the labels that an image has, and the ignored ones in brackets.

    Args:
        target: ``(C,)`` with 1, 0 and −1 (ignored).
        classes: C names.

    Example:
        >>> split_labels(np.array([1, 0, -1]), ['cat', 'dog', 'cow'])
        (['cat'], ['(cow)'])
    """
    present = [classes[i] for i in np.flatnonzero(target == 1).tolist()]
    return present, [f'({classes[i]})' for i in np.flatnonzero(target == -1).tolist()]


def contact_sheet(tiles: Sequence[Image.Image], columns: int, margin: int, gutter: int | None = None) -> Image.Image:
    """Lay tiles of one width out in rows. A row is as high as its highest tile.

    Args:
        tiles: The pictures, row by row.
        columns: How many stand in a row. If there are fewer tiles, the sheet is narrower.
        margin: Pixels around the sheet and between two rows.
        gutter: Pixels between two columns. Defaults to ``margin``.

    Example:
        >>> contact_sheet([Image.new('RGB', (10, 20))] * 3, columns=2, margin=5).size
        (35, 55)
    """
    columns, gutter = min(columns, len(tiles)), margin if gutter is None else gutter
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    step = tiles[0].width + gutter
    height = margin + sum(max(tile.height for tile in row) + margin for row in rows)
    sheet = Image.new('RGB', (2 * margin + columns * step - gutter, height), 'white')
    y = margin
    for row in rows:
        for column, tile in enumerate(row):
            sheet.paste(tile, (margin + column * step, y))
        y += max(tile.height for tile in row) + margin
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as .png or .jpg, as the name of the file says. The write is atomic; an older file is replaced."""
    with atomic_write(path) as part:
        sheet.save(part, quality=90, optimize=True)
