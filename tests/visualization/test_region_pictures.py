"""Regions and labels as they stand in the picture, read from its pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from mlic_mm.visualization import region_pictures
from mlic_mm.visualization.region_pictures import (
    AMBER,
    BLUE,
    GREEN,
    LINE,
    PANEL,
    PHOTO,
    RED,
    SOFT,
    NamedBox,
    RegionPicture,
    ScoredLabel,
    best_labels,
    draw_regions,
    write_region_sheet,
)

BLACK = np.zeros((480, 640, 3), np.uint8)  # twice the size it is drawn at


def places(image: Image.Image, colour: str) -> np.ndarray:
    """Pixels of a colour, ``(n, 2)`` as x and y."""
    return np.argwhere((np.asarray(image) == ImageColor.getrgb(colour)).all(2))[:, ::-1]


def picture(**change: object) -> RegionPicture:
    kept = dict(name='a', photo=BLACK, truth=['cat'], regions=np.zeros((0, 4)), columns=[])
    return RegionPicture(**(kept | change))


def test_boxes_stand_where_they_are_in_the_photograph() -> None:
    tile = draw_regions(picture(regions=np.array([[100, 60, 300, 200]])))
    top = LINE + 4
    found = places(tile, GREEN)
    assert found.min(0).tolist() == [50, 30 + top]
    assert found.max(0).tolist() == [149, 99 + top]
    assert not len(places(tile, AMBER))
    assert tile.getpixel((100, 60 + top)) == (0, 0, 0)  # not filled


def test_the_best_region_lies_on_top() -> None:
    same = np.array([[100, 60, 300, 200]] * 2)
    assert len(places(draw_regions(picture(regions=same)), GREEN)) == len(
        places(draw_regions(picture(regions=same[:1])), GREEN)
    )


def test_a_narrow_photograph_stands_in_the_middle_and_a_box_at_its_edge_inside() -> None:
    narrow = np.zeros((240, 100, 3), np.uint8)
    tile = draw_regions(picture(photo=narrow, boxes=[NamedBox('a very long name', (90, 230, 100, 240))]))
    assert places(tile, AMBER).min() >= 0
    pixels = np.asarray(tile)[LINE + 4 :, : PHOTO[0]]
    used = np.flatnonzero((pixels != 255).any(axis=(0, 2)))
    assert (used.min(), used.max()) == (110, 209)


def test_colours_tell_right_from_wrong() -> None:
    labels = [ScoredLabel('cat', 0.9, 1), ScoredLabel('dog', 0.5, 0), ScoredLabel('cow', 0.2, -1)]
    tile = draw_regions(picture(columns=[('student', labels)]))
    lines = [[int(y) for y in places(tile, colour)[:, 1]] for colour in (BLUE, RED)]
    first = LINE + 4 + LINE
    assert all(first <= y < first + LINE for y in lines[0])
    assert all(first + LINE <= y < first + 2 * LINE for y in lines[1])
    assert all(lines)
    assert (places(tile, SOFT)[:, 1] >= first + 2 * LINE).any()


@pytest.mark.parametrize('length', [0, 1, 11, 80])
def test_long_names_are_cut_and_leave_the_score_its_room(length: int) -> None:
    short = draw_regions(picture(columns=[('m', [ScoredLabel('', 0.88, 1)])]))
    tile = draw_regions(picture(columns=[('m', [ScoredLabel('W' * length, 0.88, 1)])]))
    assert tile.size == short.size == (PHOTO[0] + region_pictures.GAP + PANEL, LINE + 4 + PHOTO[1])
    score = (tile.width - 28, 0, tile.width, tile.height)
    assert tile.crop(score).tobytes() == short.crop(score).tobytes()


def test_many_columns_make_a_tile_higher() -> None:
    column = ('m', [ScoredLabel('cat', 0.5, 1)] * 3)
    assert draw_regions(picture(columns=[column] * 5)).height == LINE + 4 + 5 * (4 * LINE + 8)


def test_best_labels_of_equal_scores_are_the_first() -> None:
    found = best_labels(np.array([0.1, 0.7, 0.7, 0.9]), np.array([1, 0, -1, 1]), 'abcd', 3)
    assert [(label.name, label.target) for label in found] == [('d', 1), ('b', 0), ('c', -1)]


@pytest.mark.parametrize('number', [1, 2, 4])
def test_a_sheet_has_every_picture_and_is_whole(number: int, tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'sheet.png'
    regions = np.array([[100, 60, 300, 200]])
    write_region_sheet([picture(regions=regions)] * number, path)
    sheet = Image.open(path).convert('RGB')
    one = len(places(draw_regions(picture(regions=regions)), GREEN))
    assert len(places(sheet, GREEN)) == number * one
    assert [entry.name for entry in path.parent.iterdir()] == ['sheet.png']
