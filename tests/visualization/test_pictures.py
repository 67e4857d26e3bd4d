import base64
from pathlib import Path

import cv2
import numpy as np

from mlic_mm.visualization.pictures import embed, fit, overlay, thumbnail


def _decode(uri: str) -> np.ndarray:
    head, data = uri.split(',')
    assert head == 'data:image/jpeg;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_embed_keeps_the_picture() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :15] = (255, 0, 0)
    picture = embed(image)
    assert (picture.width, picture.height, picture.problem) == (30, 20, '')
    found = _decode(picture.uri)
    assert np.abs(found.astype(int) - image)[:, [0, 29]].max() < 12


def test_fit_shrinks_and_never_enlarges() -> None:
    assert fit(np.zeros((300, 100, 3), np.uint8), 60).shape == (60, 20, 3)
    assert fit(np.zeros((3, 1000, 3), np.uint8), 100).shape == (1, 100, 3)
    assert fit(np.zeros((30, 10, 3), np.uint8), 60).shape == (30, 10, 3)


def test_photograph(data_root: Path) -> None:
    path = sorted((data_root / 'VOCdevkit/VOC2007/JPEGImages').glob('*.jpg'))[0]
    picture = thumbnail(str(path))
    height, width = cv2.imread(str(path)).shape[:2]
    assert max(picture.width, picture.height) == 224
    assert abs(picture.width / picture.height - width / height) < 0.02
    assert _decode(picture.uri).shape == (picture.height, picture.width, 3)


def test_unreadable_files_are_told_of(tmp_path: Path) -> None:
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.jpg').write_text('no picture')
    for name in ('empty.jpg', 'text.jpg', 'gone.jpg', '.'):
        picture = thumbnail(str(tmp_path / name))
        assert not picture.uri
        assert str(tmp_path / name) in picture.problem
    assert 'do not say' in thumbnail('').problem


def test_a_box_in_a_file(tmp_path: Path) -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    image[100:200, 300:350] = 255
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    picture = thumbnail(str(tmp_path / 'a.png'), box=[300, 100, 350, 200])
    assert (picture.width, picture.height) == (50, 100)
    outside = thumbnail(str(tmp_path / 'a.png'), box=[700, 100, 800, 200])
    assert outside == thumbnail(str(tmp_path / 'a.png'))


def test_overlay_colours_the_peak_red_and_the_rest_blue() -> None:
    gray = np.full((40, 40, 3), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 3.0
    found = overlay(gray, heat).astype(int)
    blue, _, red = found[2, 2]
    assert red > blue + 20
    # Far from the peak there is the colour of zero, the same as under a map without any evidence.
    np.testing.assert_array_equal(found[30, 30], overlay(gray, np.zeros((4, 4)))[0, 0])
    np.testing.assert_array_equal(overlay(gray, heat), overlay(gray, heat * 7))


def test_overlays_of_one_peak_compare() -> None:
    gray = np.full((40, 40, 3), 128, np.uint8)
    half, whole = np.full((4, 4), 1.5, np.float32), np.full((4, 4), 3.0, np.float32)
    np.testing.assert_array_equal(overlay(gray, whole, 3.0), overlay(gray, whole))
    assert (overlay(gray, half, 3.0) != overlay(gray, half)).any()
    np.testing.assert_array_equal(overlay(gray, half, 3.0), overlay(gray, half * 7, 21.0))
    # Nothing positive anywhere in the row: the colour of zero.
    np.testing.assert_array_equal(overlay(gray, half * 0, -2.0), overlay(gray, half * 0))
