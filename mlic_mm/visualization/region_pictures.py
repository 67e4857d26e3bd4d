"""Regions over a photograph, and beside it what models say of it (KD from WSD, Fig. 3; spatial context, Fig. 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mlic_mm.utils.atomic_write import atomic_write

PHOTO, PANEL, LINE, GAP = (320, 240), 178, 18, 14
"""Pixels: largest photograph, width of the text beside it, height of a line of text, space between tiles."""
GREEN, AMBER, BLUE, RED, INK, SOFT = '#00d25b', '#ffd21f', '#1f5fbf', '#c2410c', '#1b1f27', '#646c79'
"""Blue and red are those of the report, which the colour-blind can tell apart; right and wrong have a mark as well."""
FOUND, ADDED = '#5ab4ff', '#e8112d'
"""Of detections: by the object branch too, and by the context branch only."""
MARKS = {1: ('✓', BLUE), 0: ('✗', RED), -1: ('·', SOFT)}


@dataclass(frozen=True)
class ScoredLabel:
    """A label that a model gives, with its score and whether it is right: 1, 0, or −1 where that does not count."""

    name: str
    score: float
    target: int


class NamedBox(NamedTuple):
    """A box [x1, y1, x2, y2] in pixels of the photograph with its text, in ``AMBER``, ``FOUND`` or ``ADDED``."""

    name: str
    box: Sequence[float]
    colour: str = AMBER


@dataclass(frozen=True)
class RegionPicture:
    """A photograph with all that is drawn over and beside it; boxes are [x1, y1, x2, y2] in its pixels.

    Attributes:
        name: Of the image.
        photo: uint8 BGR ``(H, W, 3)``.
        truth: The labels it has; those in brackets count neither way.
        regions: ``(K, 4)``, the best first.
        columns: Names of models, each with its best labels.
        boxes: The best box of each label, or detections.
    """

    name: str
    photo: np.ndarray
    truth: Sequence[str]
    regions: np.ndarray
    columns: Sequence[tuple[str, Sequence[ScoredLabel]]]
    boxes: Sequence[NamedBox] = ()


def best_labels(scores: np.ndarray, targets: np.ndarray, classes: Sequence[str], num: int = 3) -> list[ScoredLabel]:
    """Return the ``num`` labels with the highest scores; of equal ones the first.

    Args:
        scores: ``(C,)``.
        targets: ``(C,)`` with 1, 0 and −1.
        classes: C names.
        num: How many.
    """
    best = np.argsort(-scores, kind='stable')[:num]
    return [ScoredLabel(classes[i], float(scores[i]), int(targets[i])) for i in best]


def write_region_sheet(pictures: Sequence[RegionPicture], path: Path) -> None:
    """Write all pictures into one PNG, all of it or nothing; a file of that name is replaced."""
    sheet = _sheet([draw_regions(picture) for picture in pictures], _legend(pictures))
    with atomic_write(path) as part:
        sheet.save(part, format='PNG', optimize=True)


def draw_regions(picture: RegionPicture) -> Image.Image:
    """Draw one picture: name and true labels above, regions over the photograph, the columns beside it."""
    photo = Image.fromarray(np.ascontiguousarray(picture.photo[..., ::-1]))
    scale = min(PHOTO[0] / photo.width, PHOTO[1] / photo.height)
    photo = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
    draw = ImageDraw.Draw(photo)
    for rank, box in reversed([*enumerate(picture.regions)]):  # the best on top of the others, and thicker
        _rectangle(draw, [value * scale for value in box], GREEN, 3 if rank == 0 else 2)
    boxes = [named._replace(box=[value * scale for value in named.box]) for named in picture.boxes]
    for named in boxes:
        _rectangle(draw, named.box, named.colour, 2)
    for named in boxes:
        _plate(draw, named, photo.size)

    height = max(PHOTO[1], _panel_height(picture))
    tile = Image.new('RGB', (PHOTO[0] + GAP + PANEL, LINE + 4 + height), 'white')
    draw = ImageDraw.Draw(tile)
    _line(draw, (0, 0), [(picture.name, SOFT), (', '.join(picture.truth) or 'no label', INK)], tile.width)
    tile.paste(photo, ((PHOTO[0] - photo.width) // 2, LINE + 4))
    y = LINE + 4
    for heading, labels in picture.columns:
        _line(draw, (PHOTO[0] + GAP, y), [(heading, SOFT)], PANEL)
        for label in labels:
            y += LINE
            mark, colour = MARKS[label.target]
            figure = f'{label.score:.2f}'
            room = PANEL - draw.textlength(figure, _font()) - 8
            _line(draw, (PHOTO[0] + GAP, y), [(mark, colour), (label.name, colour)], room)
            draw.text((tile.width, y), figure, colour, _font(), anchor='ra')
        y += LINE + 8
    return tile


def _panel_height(picture: RegionPicture) -> int:
    return sum(LINE * (1 + len(labels)) + 8 for _, labels in picture.columns)


def _rectangle(draw: ImageDraw.ImageDraw, box: Sequence[float], colour: str, width: int) -> None:
    """Draw a frame with a dark edge outside it, to be seen on any photograph."""
    x1, y1, x2, y2 = (round(value) for value in box)
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)  # right and lower edges are outside
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline='#083018')
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=width)


def _plate(draw: ImageDraw.ImageDraw, named: NamedBox, size: tuple[int, int]) -> None:
    """Write the label of a box into its upper left corner, moved where it would leave the photograph."""
    width = draw.textlength(named.name, _font()) + 6
    x = max(0, min(named.box[0], size[0] - width))
    y = max(0, min(named.box[1], size[1] - LINE))
    draw.rectangle((x, y, x + width, y + LINE - 2), fill=named.colour)
    draw.text((x + 3, y), named.name, 'white' if named.colour == ADDED else INK, _font())


def _line(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    words: Sequence[tuple[str, str]],
    room: float,
    space: float = 7,
) -> None:
    """Write words of different colours one after the other, cut where the room ends."""
    x, y = place
    end = x + room
    for word, colour in words:
        shown = word
        while shown and x + draw.textlength(shown, _font()) > end:
            shown = shown.removesuffix('…')[:-1].rstrip(' ,')
            shown = shown and f'{shown}…'
        draw.text((x, y), shown, colour, _font())
        x += draw.textlength(shown, _font()) + space


def _legend(pictures: Sequence[RegionPicture]) -> list[tuple[str, str]]:
    most = max((len(picture.regions) for picture in pictures), default=0)
    colours = {named.colour for picture in pictures for named in picture.boxes}
    if colours & {FOUND, ADDED}:
        return [
            ('red: above the threshold with the context branch only', ADDED),
            ('blue: by the object branch too', BLUE),
            ('✓ there is such an object, IoU ≥ 0.5', BLUE),
            ('✗ there is none', RED),
            ('· not counted', SOFT),
        ]
    words = [(f'green: the {most} regions with the highest s′' if most else 'no regions', '#00813a')]
    if AMBER in colours:
        words.append(('yellow: best box of each true label', '#8a6a00'))
    if any(picture.columns for picture in pictures):
        words += [('✓ the image has the label', BLUE), ('✗ it has not', RED), ('· not counted', SOFT)]
    return words


def _sheet(tiles: Sequence[Image.Image], legend: list[tuple[str, str]]) -> Image.Image:
    columns = min(2 if len(tiles) == 4 else 3, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    width = columns * (tiles[0].width + 2 * GAP)
    sheet = Image.new('RGB', (width, sum(heights) + GAP + LINE + GAP), 'white')
    y = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (GAP + column * (tile.width + 2 * GAP), y))
        y += height
    _line(ImageDraw.Draw(sheet), (GAP, y), legend, width - 2 * GAP, space=24)
    return sheet


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')), 13)
