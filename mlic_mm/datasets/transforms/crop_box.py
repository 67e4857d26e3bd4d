"""Crop a sample to its box."""

import math
from typing import Literal

from mmcv.transforms import BaseTransform

from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.choices import check_choice, check_range


@TRANSFORMS.register_module()
class CropBox(BaseTransform):
    """Crop ``img`` to ``results['box']``, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    The box is [x1, y1, x2, y2] in pixels of ``ori_shape``, with the right and lower edges outside. If ``short_side``
    shrank the image, the box is scaled too. What lies outside the image is cut off, and pixels that the box touches
    stay. A sample without ``box`` stays as it is, such as an image of a person in the inferencer.

    Changed keys: ``img``, ``img_shape``.

    Args:
        context: What to add on each side, as a fraction of the width or height of the box.
        outside: What to do with a box that has no area inside the image: ``'raise'`` an error, or take the ``'whole'``
            image.

    Raises:
        ValueError: An option is invalid, or the box has no area inside the image.

    Examples:
        >>> import numpy as np
        >>> from mlic_mm.registry import TRANSFORMS
        >>> crop = TRANSFORMS.build(dict(type='mlic_mm.CropBox', context=0.5))
        >>> sample = dict(img=np.zeros((50, 100, 3), np.uint8), ori_shape=(50, 100), box=[40, 20, 50, 30])
        >>> crop(sample)['img_shape']
        (20, 20)
    """

    def __init__(self, context: float = 0.0, outside: Literal['raise', 'whole'] = 'raise') -> None:
        check_range('context', context, at_least=0)
        check_choice('outside', outside, ('raise', 'whole'))
        self.context = context
        self.outside = outside

    def transform(self, results: dict) -> dict:
        """Replace the image by the part inside the box."""
        if 'box' not in results:
            return results
        x1, y1, x2, y2 = results['box']
        height, width = results['ori_shape'][:2]
        if not (min(x2, width) > max(x1, 0) and min(y2, height) > max(y1, 0)):  # also true for NaN
            if self.outside == 'whole':
                return results
            name = results.get('img_id', '')
            raise ValueError(
                f'{results.get("img_path")}: box {results["box"]} of {name!r} has no area inside the image of '
                f"{width} × {height} pixels; correct the annotation, remove the box from it, or set outside='whole' of "
                'CropBox to take the whole image instead'
            )
        left, right = _interval(x1, x2, self.context, results['img'].shape[1], width)
        top, bottom = _interval(y1, y2, self.context, results['img'].shape[0], height)
        results['img'] = results['img'][top:bottom, left:right].copy()  # the photograph can be freed
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'CropBox(context={self.context}, outside={self.outside!r})'


def _interval(start: float, end: float, context: float, size: int, ori_size: int) -> tuple[int, int]:
    """Return the first pixel and the one behind the last, of ``size``, for a range in ``ori_size`` pixels."""
    margin = context * (end - start)
    first = math.floor(max(start - margin, 0) * size / ori_size)
    last = math.ceil(min(end + margin, ori_size) * size / ori_size)
    return first, last
