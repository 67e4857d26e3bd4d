"""Every kind of image file, written here, goes in; upright 8-bit BGR or a message that names the file comes out."""

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mlic_mm.datasets.transforms import BadImageError, LoadImage, read_image

RNG = np.random.default_rng(0)


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """RGB that survives JPEG: a ramp to the right in red, down in green, constant blue."""
    rgb = np.full((height, width, 3), 40, np.uint8)
    rgb[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    rgb[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    return rgb


def noisy(height: int = 120, width: int = 120) -> np.ndarray:
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image, **options: object) -> str:
    image.save(path, **options)
    return str(path)


def assert_close(bgr: np.ndarray, rgb: np.ndarray, tolerance: int) -> None:
    assert bgr.dtype == np.uint8
    assert bgr.shape == rgb.shape
    assert np.abs(bgr[..., ::-1].astype(int) - rgb.astype(int)).max() <= tolerance


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'subsampling': 0}])
def test_plain_jpeg_is_what_mmcv_reads(tmp_path: Path, options: dict) -> None:
    import mmcv

    path = save(tmp_path / 'a.jpg', Image.fromarray(smooth()), quality=95, **options)
    img, size = read_image(path)
    assert size == (48, 64)
    np.testing.assert_array_equal(img, mmcv.imread(path))
    assert_close(img, smooth(), 12)


def test_png_is_exact(tmp_path: Path) -> None:
    img, _ = read_image(save(tmp_path / 'a.png', Image.fromarray(smooth())))
    assert_close(img, smooth(), 0)


@pytest.mark.parametrize('extension', ['jpg', 'png', 'bmp', 'tiff'])
def test_gray_becomes_three_equal_channels(tmp_path: Path, extension: str) -> None:
    gray = smooth()[..., 0]
    img, _ = read_image(save(tmp_path / f'a.{extension}', Image.fromarray(gray)))
    assert_close(img, np.repeat(gray[..., None], 3, 2), 4 if extension == 'jpg' else 0)
    assert (img[..., 0] == img[..., 1]).all()
    assert (img[..., 1] == img[..., 2]).all()


def test_cmyk_jpeg_has_the_colours_of_its_rgb_original(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.jpg', Image.fromarray(smooth()).convert('CMYK'), quality=95)
    assert Image.open(path).mode == 'CMYK'
    img, _ = read_image(path)
    assert_close(img, smooth(), 24)


def test_16_bit_keeps_the_high_byte(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535]], np.uint16).repeat(3, 0)
    for name in ('a.png', 'a.tiff'):
        img, _ = read_image(save(tmp_path / name, Image.fromarray(deep)))
        np.testing.assert_array_equal(img[..., 0], [[0, 0, 1, 255]] * 3)
    cv2.imwrite(str(tmp_path / 'rgb.png'), np.repeat(deep[..., None], 3, 2))
    img, _ = read_image(str(tmp_path / 'rgb.png'))
    np.testing.assert_array_equal(img[..., 2], [[0, 0, 1, 255]] * 3)


@pytest.mark.parametrize('extension', ['png', 'webp'])
def test_transparency_is_laid_on_white(tmp_path: Path, extension: str) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :2, 3] = 255  # opaque black, then transparent black, then half
    rgba[:, 4:, 3] = 128
    path = save(
        tmp_path / f'a.{extension}', Image.fromarray(rgba), **({'lossless': True} if extension == 'webp' else {})
    )
    img, _ = read_image(path)
    np.testing.assert_array_equal(img[0, :, 0], [0, 0, 255, 255, 127, 127])


def test_palette_transparency_and_gray_with_alpha(tmp_path: Path) -> None:
    palette = Image.new('P', (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    img, _ = read_image(save(tmp_path / 'a.png', palette, transparency=0))
    np.testing.assert_array_equal(img[0], [[255, 255, 255], [50, 100, 200]])
    gray = Image.merge('LA', [Image.new('L', (2, 1), 0), Image.fromarray(np.array([[255, 0]], np.uint8))])
    img, _ = read_image(save(tmp_path / 'b.png', gray))
    np.testing.assert_array_equal(img[0, :, 0], [0, 255])


@pytest.mark.parametrize('extension', ['jpg', 'png'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, extension: str) -> None:
    upright = smooth()
    # What a camera held so would store; its inverse is what a reader must do.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f'a.{extension}', Image.fromarray(np.ascontiguousarray(stored)), exif=exif, quality=95)
    img, size = read_image(path)
    assert size == (48, 64)
    assert_close(img, upright, 12)


def test_size_of_a_rotated_jpeg_read_at_reduced_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / 'a.jpg', Image.fromarray(smooth(301, 405)), exif=exif)
    img, size = read_image(path, short_side=64)
    assert size == (405, 301)
    assert img.shape == (86, 64, 3)


@pytest.mark.parametrize('extension', ['gif', 'png', 'webp'])
def test_animation_gives_its_first_frame(tmp_path: Path, extension: str) -> None:
    frames = [Image.new('RGB', (8, 8), colour) for colour in ('red', 'lime', 'blue')]
    path = save(tmp_path / f'a.{extension}', frames[0], save_all=True, append_images=frames[1:], duration=50)
    img, _ = read_image(path)
    assert_close(img, np.full((8, 8, 3), (255, 0, 0), np.uint8), 3)


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noisy()).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noisy()).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'GIF'])
@pytest.mark.parametrize('share', [0.05, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    content = encoded(kind)
    path = tmp_path / 'cut.img'
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadImageError, match=r'cut\.img: .*(damaged|cut).*on_error'):
        read_image(str(path))


def test_cut_jpeg_with_padding_is_refused_and_padded_jpeg_is_not(tmp_path: Path) -> None:
    content = jpeg_bytes()
    path = tmp_path / 'a.jpg'
    path.write_bytes(content[: len(content) // 2] + bytes(500))
    with pytest.raises(BadImageError, match=r'a\.jpg'):
        read_image(str(path))
    for padding in (b'\n', bytes(500)):
        path.write_bytes(content + padding)
        assert read_image(str(path))[1] == (120, 120)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'the file is empty'),
        (b'<html>404 Not Found</html>', 'not an image'),
        (b'\xff\xd8\xff', 'not an image'),
        (b'\x89PNG\r\n\x1a\n', 'cut'),
        (bytes(1000), 'not an image'),
        (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n', 'not an image'),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / 'bild übrig 1.jpg'
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=rf'bild übrig 1\.jpg: .*{reason}'):
        read_image(str(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nothing\.jpg: image not found; check data_root'):
        read_image(str(tmp_path / 'nothing.jpg'))
    with pytest.raises(BadImageError, match='cannot be read'):
        read_image(str(tmp_path))


def test_floating_point_samples_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.tiff', Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(BadImageError, match='floating-point'):
        read_image(path)


@pytest.mark.parametrize('extension', ['jpg', 'png'])
def test_huge_images_are_refused_before_they_are_decoded(tmp_path: Path, extension: str) -> None:
    # A small file whose header says 400 megapixels.
    buffer = io.BytesIO()
    Image.new('L', (16, 16)).save(buffer, 'JPEG' if extension == 'jpg' else 'PNG')
    content = bytearray(buffer.getvalue())
    if extension == 'jpg':
        at = content.index(b'\xff\xc0') + 5
        content[at : at + 4] = (20_000).to_bytes(2, 'big') * 2
    else:
        content[16:24] = (20_000).to_bytes(4, 'big') * 2
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
    path = tmp_path / f'huge.{extension}'
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=r'huge.*(20000 × 20000|400000000 pixels)'):
        read_image(str(path))


def test_max_pixels_counts_decoded_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.jpg', Image.fromarray(smooth(400, 400)))
    with pytest.raises(BadImageError, match=r'400 × 400 pixels are more than max_pixels=90000.*short_side'):
        read_image(path, max_pixels=90_000)
    assert read_image(path, short_side=100, max_pixels=90_000)[0].shape == (100, 100, 3)


@pytest.mark.parametrize('size', [(480, 640), (640, 480), (481, 643), (100, 30)])
def test_short_side_shrinks_and_never_enlarges(tmp_path: Path, size: tuple[int, int]) -> None:
    original = smooth(*size)
    img, ori = read_image(save(tmp_path / 'a.jpg', Image.fromarray(original), quality=95), short_side=96)
    assert ori == size
    assert min(img.shape[:2]) == min(96, *size)
    scale = min(img.shape[:2]) / min(size)
    assert img.shape[:2] == (round(size[0] * scale), round(size[1] * scale))
    reference = cv2.resize(original, img.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert_close(img, reference, 12)


def test_results_of_the_transform(tmp_path: Path) -> None:
    path = save(tmp_path / 'ä b.png', Image.fromarray(smooth()))
    results = LoadImage(short_side=24)({'img_path': path})
    assert results['img'].shape == (24, 32, 3)
    assert results['img_shape'] == (24, 32)
    assert results['ori_shape'] == (48, 64)


def test_cache_gives_equal_independent_images_and_keeps_its_limit(tmp_path: Path) -> None:
    first = save(tmp_path / 'a.png', Image.fromarray(noisy(512, 512)))  # 0.75 MiB decoded
    second = save(tmp_path / 'b.png', Image.fromarray(noisy(512, 512)))
    load = LoadImage(cache_mb=1)
    a = load({'img_path': first})['img']
    b = load({'img_path': second})['img']
    expected = a.copy()
    a[:] = 0
    Path(first).unlink()
    Path(second).unlink()
    again = load({'img_path': first})['img']
    np.testing.assert_array_equal(again, expected)
    again[:] = 0
    np.testing.assert_array_equal(load({'img_path': first})['img'], expected)
    assert b.shape == (512, 512, 3)
    with pytest.raises(FileNotFoundError):  # did not fit
        load({'img_path': second})


def test_skip_returns_none_and_raise_raises(tmp_path: Path) -> None:
    (tmp_path / 'a.jpg').write_bytes(b'')
    results = {'img_path': str(tmp_path / 'a.jpg')}
    assert LoadImage(on_error='skip')(dict(results)) is None
    with pytest.raises(BadImageError):
        LoadImage()(dict(results))


@pytest.mark.parametrize('options', [{'on_error': 'ignore'}, {'short_side': 0}, {'max_pixels': 0}, {'cache_mb': -1}])
def test_options_are_checked(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LoadImage(**options)


def test_real_photographs_equal_mmcv(data_root: Path) -> None:
    import mmcv

    for path in sorted((data_root / 'coco_mini' / 'originals').iterdir())[:12]:
        img, size = read_image(str(path))
        np.testing.assert_array_equal(img, mmcv.imread(str(path)))
        assert size == img.shape[:2]
