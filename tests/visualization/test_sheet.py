"""Sheets of pictures: where tiles and words stand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mlic_mm.visualization.sheet import contact_sheet, draw_words, fit_inside, font, save_sheet, split_labels


def test_tiles_stand_in_rows_as_high_as_their_highest() -> None:
    tiles = [Image.new('RGB', (10, height), colour) for height, colour in ((20, 'red'), (5, 'lime'), (8, 'blue'))]
    sheet = contact_sheet(tiles, columns=2, margin=4, gutter=6)
    assert sheet.size == (4 + 10 + 6 + 10 + 4, 4 + 20 + 4 + 8 + 4)
    assert sheet.getpixel((4, 23)) == (255, 0, 0)
    assert sheet.getpixel((20, 4)) == (0, 255, 0)
    assert sheet.getpixel((20, 9)) == (255, 255, 255)
    assert sheet.getpixel((4, 28)) == (0, 0, 255)


@pytest.mark.parametrize(('shape', 'size', 'scale'), [((10, 40), (80, 20), 2), ((300, 10), (2, 60), 0.2)])
def test_a_picture_touches_its_frame(shape: tuple[int, int], size: tuple[int, int], scale: float) -> None:
    bgr = np.full((*shape, 3), (0, 0, 255), np.uint8)
    picture, found = fit_inside(bgr, 80, 60)
    assert picture.size == size
    assert found == pytest.approx(scale)
    assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_words_end_where_the_room_does() -> None:
    sheet = Image.new('RGB', (200, 20), 'white')
    draw_words(ImageDraw.Draw(sheet), (10, 0), [('one', 'red'), ('W' * 99, 'blue'), ('never', 'lime')], 100, 13)
    used = np.flatnonzero((np.asarray(sheet) != 255).any(axis=(0, 2)))
    assert used.min() >= 10
    assert 100 < used.max() < 110
    assert font(13) is font(13)


def test_labels_of_an_image() -> None:
    assert split_labels(np.array([-1, 1, 0, 1]), 'abcd') == (['b', 'd'], ['(a)'])


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.JPEG'])
def test_the_name_tells_the_format(name: str, tmp_path: Path) -> None:
    save_sheet(Image.new('RGB', (30, 20), 'white'), tmp_path / 'new' / name)
    assert Image.open(tmp_path / 'new' / name).format == ('PNG' if name == 'a.png' else 'JPEG')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == [name]
