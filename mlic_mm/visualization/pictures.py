"""Pictures in a page: small JPEGs as ``data:`` addresses."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mlic_mm.datasets.transforms.crop_box import CropBox
from mlic_mm.datasets.transforms.image_io import read_image

_QUALITY = 80
_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.png', '.gif', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.avif')


@dataclass(frozen=True)
class Picture:
    """An embedded JPEG, or the reason why there is none (``problem``)."""

    uri: str = ''
    width: int = 0
    height: int = 0
    problem: str = ''


def embed(bgr: np.ndarray) -> Picture:
    """Return a uint8 BGR image ``(H, W, 3)`` as JPEG."""
    done, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    assert done
    text = base64.b64encode(data.tobytes()).decode('ascii')
    return Picture(f'data:image/jpeg;base64,{text}', bgr.shape[1], bgr.shape[0])


def fit(bgr: np.ndarray, longest: int) -> np.ndarray:
    """Shrink so that the longer side has at most ``longest`` pixels."""
    scale = longest / max(bgr.shape[:2])
    if scale >= 1:
        return bgr
    size = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
    return cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Return an image of any type, ``(H, W, 3)`` or ``(H, W, 1)``, as uint8 ``(H, W, 3)``.

    Values other than uint8 are stretched, so that the smallest becomes 0 and the largest 255.
    """
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def image_below(path: str, folder: str | Path | None) -> str:
    """Return a path that a file from a stranger names, if it is the path of an image below a folder.

    Args:
        path: The path. Links in it are followed. A relative path is searched in the folder, and then here.
        folder: The folder. None allows no path at all.

    Raises:
        ValueError: The path is empty, outside the folder, or not that of an image.
    """
    if not path:
        raise ValueError('the scores do not say where it lies')
    if folder is None:
        raise ValueError(f'{path} is only named by the scores; give the folder of the images (images=…, --images DIR)')
    try:
        root, inside = Path(folder).resolve(), Path(folder, path)
        real = (inside if inside.exists() else Path(path)).resolve()
        kept = real.is_relative_to(root) and (real.is_file() or not real.exists())
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f'{path!r} cannot be read: {error}') from error
    if not kept:
        raise ValueError(f'{path} is no file below the folder of the images, {folder}')
    if real.suffix.lower() not in _SUFFIXES:
        raise ValueError(f'{path} is no image by its name')
    return str(real)


def thumbnail(path: str, longest: int = 224, box: Sequence[float] | None = None) -> Picture:
    """Read, shrink and embed an image file, or a ``box`` [x1, y1, x2, y2] in pixels of the file.

    If the file is missing or damaged, the picture says so.
    """
    if not path:
        return Picture(problem='the scores do not say where it lies')
    try:
        image, ori_shape = read_image(path, short_side=longest if box is None else None)
        if box is not None:
            sample = dict(img=image, ori_shape=ori_shape, box=box)
            image = CropBox(outside='whole').transform(sample)['img']
    except (FileNotFoundError, ValueError) as error:
        return Picture(problem=str(error))
    return embed(fit(image, longest))


def overlay(bgr: np.ndarray, heat: np.ndarray, peak: float | None = None) -> np.ndarray:
    """Lay a map over an image. The map is scaled to its maximum, enlarged smoothly and coloured from blue to red.

    Args:
        bgr: uint8 ``(H, W, 3)``.
        heat: The map ``(h, w)``, not negative. If it is zero everywhere, the image gets the colour of zero.
        peak: The value that is red, to compare several maps. Defaults to the maximum of the map.
    """
    peak = float(heat.max()) if peak is None else peak
    level = heat.astype(np.float32) / peak if peak > 0 else np.zeros(heat.shape, np.float32)
    level = cv2.resize(level, (bgr.shape[1], bgr.shape[0]), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = cv2.applyColorMap((level * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)
    return cv2.addWeighted(bgr, 0.5, colours, 0.5, 0)
