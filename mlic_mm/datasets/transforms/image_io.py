"""Read one image file into BGR bytes, or say what is wrong with it."""

import io

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Formats that are photographs and are decoded in-process. Pillow would also open EPS, which it hands to an external
# interpreter: a file with a wrong extension must not get there.
_FORMATS = ('JPEG', 'MPO', 'PNG', 'GIF', 'BMP', 'TIFF', 'WEBP', 'PPM', 'AVIF')
ENDINGS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.avif')
"""Endings of the names of image files."""
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
_REDUCED[8] = cv2.IMREAD_REDUCED_COLOR_8
_CURE = "replace or remove it, or leave unreadable images out with LoadImage(on_error='skip')"


class BadImageError(ValueError):
    """The file exists, but cannot be used as an image. The message names the file, the reason and the cure."""

    def __init__(self, path: str, reason: str, cure: str = _CURE) -> None:
        super().__init__(f'{path}: {reason}; {cure}')


def read_image(
    path: str, short_side: int | None = None, max_pixels: int = 80_000_000
) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image as 8-bit BGR, upright.

    EXIF rotation is applied. Gray becomes three equal channels, CMYK becomes RGB, transparency becomes white, 16-bit
    samples keep their high byte, and an animation gives its first frame. OpenCV decodes plain JPEGs. Pillow decodes all
    other files, and JPEGs without a proper end: it refuses truncated files, which OpenCV fills with gray.

    Args:
        path: The file.
        short_side: Shrink the image so that its shorter side has this many pixels. It is never enlarged. JPEGs are
            decoded at 1/2, 1/4 or 1/8 of their size if that leaves enough pixels. This takes less memory and, at 1/4,
            a quarter less time: most of the time is entropy decoding, which does not depend on the size.
        max_pixels: Refuse to decode more pixels than this.

    Returns:
        The image, uint8 ``(H, W, 3)``, and the upright size ``(H0, W0)`` before shrinking.

    Raises:
        FileNotFoundError: There is no such file.
        BadImageError: The file is empty, truncated, no image, too large, or of a kind that is no photograph.
    """
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: image not found; check data_root and data_prefix, or the path in the annotations'
        ) from None
    except OSError as error:
        raise BadImageError(path, f'cannot be read ({error.strerror})') from None
    if not data:
        raise BadImageError(path, 'the file is empty')

    header = _jpeg_size(data)
    # 'FF D9' ends a JPEG and cannot occur inside its compressed data; some writers append a few bytes of padding.
    if header is not None and data.find(b'\xff\xd9', -64) >= 0:
        image, size = _read_jpeg(path, data, header, short_side, max_pixels)
    else:
        image = _read_other(path, data, max_pixels)
        size = (image.shape[0], image.shape[1])
    if short_side is not None and min(image.shape[:2]) > short_side:
        # Reading at reduced size has averaged pixels already and leaves less than a factor of two. Bilinear weights are
        # good enough for that and take an eighth of the time.
        reduced = max(image.shape) < max(size)
        image = _shrink(image, short_side, cv2.INTER_LINEAR if reduced else cv2.INTER_AREA)
    return image, size


def _read_jpeg(
    path: str, data: bytes, header: tuple[int, int], short_side: int | None, max_pixels: int
) -> tuple[np.ndarray, tuple[int, int]]:
    height, width = header
    factor = 1
    if short_side is not None:
        factor = next((f for f in (8, 4, 2) if min(height, width) // f >= short_side), 1)
    _guard(path, height, width, max_pixels, factor)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[factor])
    if image is None:
        raise BadImageError(path, 'the JPEG data are damaged')
    upright = image.shape[0] == -(-height // factor)
    return image, (height, width) if upright else (width, height)


def _read_other(path: str, data: bytes, max_pixels: int) -> np.ndarray:
    Image.init()
    try:
        with Image.open(io.BytesIO(data), formats=[f for f in _FORMATS if f in Image.OPEN]) as image:
            _guard(path, image.height, image.width, max_pixels)
            return pil_to_bgr(path, image)
    except BadImageError:
        raise
    except UnidentifiedImageError:
        raise BadImageError(path, f'not an image, or cut off in its header (starts with {data[:8]!r})') from None
    except Image.DecompressionBombError as error:
        raise BadImageError(path, str(error)) from None
    except Exception as error:
        # Decoders meet damaged data with whatever error the damage leads to, not only OSError.
        raise BadImageError(path, f'damaged or cut short ({error}, {len(data)} bytes)') from error


def pil_to_bgr(path: str, image: Image.Image) -> np.ndarray:
    """Return an image of Pillow as upright uint8 BGR ``(H, W, 3)``. ``path`` is for messages."""
    return cv2.cvtColor(_to_rgb(path, ImageOps.exif_transpose(image)), cv2.COLOR_RGB2BGR)


def _to_rgb(path: str, image: Image.Image) -> np.ndarray:
    """Return uint8 RGB ``(H, W, 3)``."""
    if image.mode == 'I' or image.mode.startswith('I;16'):
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 65535:
            raise BadImageError(path, '32-bit samples beyond 16 bits', 'convert it to 8 or 16 bits per sample')
        return np.repeat((samples >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == 'F':
        raise BadImageError(path, 'floating-point samples have no known range', 'convert it to 8 bits per sample')
    if image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info:
        front = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', front.size, 'white'), front)
    return np.asarray(image.convert('RGB'))


def _guard(path: str, height: int, width: int, max_pixels: int, factor: int = 1) -> None:
    if height * width > max_pixels * factor**2:
        cure = f'shrink the file, set LoadImage(short_side=…) for JPEGs, or raise max_pixels to {height * width}'
        raise BadImageError(path, f'{width} × {height} pixels are more than max_pixels={max_pixels}', cure)


def _shrink(image: np.ndarray, short_side: int, interpolation: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=interpolation)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the stored ``(H, W)`` of an 8-bit JPEG with one or three channels, None for anything else."""
    if data[:2] != b'\xff\xd8':
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = int.from_bytes(data[at + 5 : at + 7], 'big'), int.from_bytes(data[at + 7 : at + 9], 'big')
            plain = marker in (0xC0, 0xC1, 0xC2) and data[at + 4] == 8 and data[at + 9] in (1, 3)
            return (height, width) if plain and height and width else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None
