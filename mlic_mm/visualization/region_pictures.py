"""Regions over a photograph, and beside it the labels that models give (Fig. 3 of KD from WSD and spatial context)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .sheet import Words, contact_sheet, draw_words, fit_inside, font, save_sheet

PHOTO, PANEL, LINE, GAP, LETTERS = (320, 240), 178, 18, 14, 13
"""Pixels: largest photograph, width of the text beside it, height of a line, space between tiles, size of letters."""
GREEN, AMBER, BLUE, RED, INK, SOFT = '#00d25b', '#ffd21f', '#1f5fbf', '#c2410c', '#1b1f27', '#646c79'
"""Blue and red are those of the report. Colour-blind readers can tell them apart, and there are marks too."""
FOUND, ADDED = '#5ab4ff', '#e8112d'
"""Colours of detections: found by the object branch too, and by the context branch only."""
MARKS = {1: ('✓', BLUE), 0: ('✗', RED), -1: ('·', SOFT)}


@dataclass(frozen=True)
class ScoredLabel:
    """A label that a model gives, with its score and its target: 1 right, 0 wrong, −1 not counted."""

    name: str
    score: float
    target: int


class NamedBox(NamedTuple):
    """A box [x1, y1, x2, y2] in pixels of the photograph, with its text and a colour: AMBER, FOUND or ADDED."""

    name: str
    box: Sequence[float]
    colour: str = AMBER


@dataclass(frozen=True)
class RegionPicture:
    """A photograph with all that is drawn over it and beside it. Boxes are [x1, y1, x2, y2] in its pixels.

    Attributes:
        name: Name of the image.
        photo: uint8 BGR ``(H, W, 3)``.
        truth: The labels of the image. Labels in brackets are ignored.
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
    """Return the labels with the highest scores. If scores are equal, the first labels are taken.

    Args:
        scores: ``(C,)``.
        targets: ``(C,)`` with 1, 0 and −1.
        classes: C names.
        num: Number of labels.

    Example:
        >>> [label.name for label in best_labels(np.array([0.1, 0.9]), np.array([0, 1]), ['cat', 'dog'], 1)]
        ['dog']
    """
    best = np.argsort(-scores, kind='stable')[:num]
    return [ScoredLabel(classes[i], float(scores[i]), int(targets[i])) for i in best]


def write_region_sheet(pictures: Sequence[RegionPicture], path: Path) -> None:
    """Write all pictures into one PNG with a legend below them. The write is atomic; an older file is replaced."""
    tiles = [draw_regions(picture) for picture in pictures]
    sheet = contact_sheet(tiles, 2 if len(tiles) == 4 else 3, GAP, 2 * GAP)
    whole = Image.new('RGB', (sheet.width, sheet.height + LINE + GAP), 'white')
    whole.paste(sheet)
    draw_words(ImageDraw.Draw(whole), (GAP, sheet.height), _legend(pictures), whole.width - 2 * GAP, LETTERS, space=24)
    save_sheet(whole, path)


def draw_regions(picture: RegionPicture) -> Image.Image:
    """Draw one picture: name and true labels above, regions over the photograph, the columns beside it."""
    photo, scale = fit_inside(picture.photo, *PHOTO)
    draw = ImageDraw.Draw(photo)
    for rank, box in reversed([*enumerate(picture.regions)]):  # the best one on top of the others, and thicker
        _rectangle(draw, [value * scale for value in box], GREEN, 3 if rank == 0 else 2)
    boxes = [named._replace(box=[value * scale for value in named.box]) for named in picture.boxes]
    for named in boxes:
        _rectangle(draw, named.box, named.colour, 2)
    for named in boxes:
        _plate(draw, named, photo.size)

    height = max(PHOTO[1], _panel_height(picture))
    tile = Image.new('RGB', (PHOTO[0] + GAP + PANEL, LINE + 4 + height), 'white')
    draw = ImageDraw.Draw(tile)
    draw_words(draw, (0, 0), [(picture.name, SOFT), (', '.join(picture.truth) or 'no label', INK)], tile.width, LETTERS)
    tile.paste(photo, ((PHOTO[0] - photo.width) // 2, LINE + 4))
    y = LINE + 4
    for heading, labels in picture.columns:
        draw_words(draw, (PHOTO[0] + GAP, y), [(heading, SOFT)], PANEL, LETTERS)
        for label in labels:
            y += LINE
            mark, colour = MARKS[label.target]
            figure = f'{label.score:.2f}'
            room = PANEL - draw.textlength(figure, font(LETTERS)) - 8
            draw_words(draw, (PHOTO[0] + GAP, y), [(mark, colour), (label.name, colour)], room, LETTERS)
            draw.text((tile.width, y), figure, colour, font(LETTERS), anchor='ra')
        y += LINE + 8
    return tile


def _panel_height(picture: RegionPicture) -> int:
    return sum(LINE * (1 + len(labels)) + 8 for _, labels in picture.columns)


def _rectangle(draw: ImageDraw.ImageDraw, box: Sequence[float], colour: str, width: int) -> None:
    """Draw a frame with a dark edge around it, which is visible on any photograph."""
    x1, y1, x2, y2 = (round(value) for value in box)
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)  # right and lower edges are outside
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline='#083018')
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=width)


def _plate(draw: ImageDraw.ImageDraw, named: NamedBox, size: tuple[int, int]) -> None:
    """Write the label of a box into its upper left corner. It is moved if it would leave the photograph."""
    width = draw.textlength(named.name, font(LETTERS)) + 6
    x = max(0, min(named.box[0], size[0] - width))
    y = max(0, min(named.box[1], size[1] - LINE))
    draw.rectangle((x, y, x + width, y + LINE - 2), fill=named.colour)
    draw.text((x + 3, y), named.name, 'white' if named.colour == ADDED else INK, font(LETTERS))


def _legend(pictures: Sequence[RegionPicture]) -> Words:
    most = max((len(picture.regions) for picture in pictures), default=0)
    colours = {named.colour for picture in pictures for named in picture.boxes}
    if colours & {FOUND, ADDED}:
        return [
            ('red: above the threshold with the context branch only', ADDED),
            ('blue: found by the object branch too', BLUE),
            ('✓ there is such an object, IoU ≥ 0.5', BLUE),
            ('✗ there is no such object', RED),
            ('· not counted', SOFT),
        ]
    words = [(f'green: the {most} regions with the highest s′' if most else 'no regions', '#00813a')]
    if AMBER in colours:
        words.append(('yellow: best box of each true label', '#8a6a00'))
    if any(picture.columns for picture in pictures):
        words += [('✓ the image has the label', BLUE), ('✗ it does not', RED), ('· not counted', SOFT)]
    return words
