"""Turn the image inputs of users into arrays, in the form in which files are read."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image

from mlic_mm.datasets.transforms import ENDINGS, pil_to_bgr

__all__ = ['KINDS', 'list_inputs', 'to_bgr']

KINDS = (
    'a path, a folder, an array (H, W), (H, W, 3) or (H, W, 4) in BGR order, a tensor (3, H, W) in RGB order, an image '
    'of Pillow, or a list or generator of these'
)


def list_inputs(inputs: Any) -> list | Iterator:
    """Return the images that the inputs stand for. Paths become text. Everything else is not changed.

    Args:
        inputs: :data:`KINDS`. A folder stands for the files whose names end as those of images do. A batch ``(N, …)``
            of arrays or tensors is N images.

    Returns:
        A list; for a generator, an iterator.

    Raises:
        ValueError: A folder has no images.
        TypeError: It is none of these kinds.

    Example:
        >>> list_inputs('a.jpg')
        ['a.jpg']
        >>> len(list_inputs(np.zeros((2, 8, 8, 3), np.uint8)))
        2
    """
    if isinstance(inputs, (str, os.PathLike)):
        path = os.fspath(inputs)
        return _in_folder(path) if os.path.isdir(path) else [path]
    if isinstance(inputs, (np.ndarray, torch.Tensor)):
        return list(inputs) if inputs.ndim == 4 else [inputs]
    if isinstance(inputs, Image.Image):
        return [inputs]
    if isinstance(inputs, (bytes, dict)) or not isinstance(inputs, Iterable):
        raise TypeError(f'{type(inputs).__name__} is no image; give {KINDS}')
    items = (os.fspath(item) if isinstance(item, os.PathLike) else item for item in inputs)
    return list(items) if hasattr(inputs, '__len__') else items


def to_bgr(image: Any) -> np.ndarray:
    """Return an image as uint8 BGR ``(H, W, 3)``.

    As for files, gray becomes three equal channels, transparency is laid on white, and 16-bit samples keep their high
    byte. Channels of arrays, and of tensors ``(H, W, C)``, are in the order of OpenCV: BGR or BGRA. Those of tensors
    ``(C, H, W)`` and images of Pillow are RGB or RGBA. Whole numbers always count from 0 to 255, so that a mask of 0
    and 1 is black. Floats from 0 to 1 are refused, unless all are 0.

    Args:
        image: An array, a tensor or an image of Pillow.

    Raises:
        TypeError: It is none of these.
        ValueError: Its shape or its values are not those of an image; the message names the cure.

    Example:
        >>> to_bgr(torch.tensor([255, 0, 9]).reshape(3, 1, 1))
        array([[[  9,   0, 255]]], dtype=uint8)
    """
    if isinstance(image, Image.Image):
        return pil_to_bgr('the image', image)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        array = (image.float() if image.is_floating_point() else image).numpy()  # NumPy has no bfloat16
        if array.ndim == 3 and len(array) in (1, 3, 4):
            # RGB to BGR. An alpha channel stays the last.
            array = array.transpose(1, 2, 0)[..., [2, 1, 0, 3][: len(array)] if len(array) > 1 else [0]]
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise TypeError(f'{type(image).__name__} is no image; give {KINDS}')
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ValueError(f'an image of shape {tuple(image.shape)}; give {KINDS}')
    array = _to_bytes(array)
    if array.shape[2] == 1:
        array = np.repeat(array, 3, 2)
    if array.shape[2] == 4:
        return pil_to_bgr('the image', Image.fromarray(cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA)))
    return np.ascontiguousarray(array)


def _to_bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind not in 'iuf':
        raise ValueError(f'an image of {array.dtype}; give uint8, from 0 to 255')
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == 'f' and 0 <= low <= high <= 1 and high > 0:  # 0 is black in both ranges
        raise ValueError(
            f'an image of {array.dtype} from {low:.3g} to {high:.3g} would be black, since 255 is white here; give '
            '(image * 255).round() as uint8'
        )
    if not 0 <= low <= high <= 255:  # also where one is NaN
        raise ValueError(
            f'an image of {array.dtype} from {low:.3g} to {high:.3g}; give uint8 from 0 to 255, neither normalised nor '
            'scaled: the model does that'
        )
    return np.rint(array).astype(np.uint8)


def _in_folder(folder: str) -> list[str]:
    """Return the images of a folder in the order of the file system, and log which files are no images."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith('.')]
    images = [name for name in names if name.lower().endswith(ENDINGS)]
    if not images:
        raise ValueError(f'{folder}: no file in it ends as an image does ({" ".join(ENDINGS)})')
    if others := sorted(set(names) - set(images)):
        first = ', '.join(others[:3]) + (' …' if len(others) > 3 else '')
        print_log(f'{folder}: {len(others)} files are no images by their names and are passed over: {first}', 'current')
    return [os.path.join(folder, name) for name in images]
