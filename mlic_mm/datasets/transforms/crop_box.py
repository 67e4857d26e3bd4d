"""Crop a sample to its box."""

import math

from mmcv.transforms import BaseTransform

from mlic_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropBox(BaseTransform):
    """Crop ``img`` to ``results['box']``, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    The box is [x1, y1, x2, y2] in pixels of ``ori_shape``, right and lower edge outside, and is scaled with the image
    where ``short_side`` shrank it. What lies outside the image is cut off; pixels that the box touches stay. A sample
    without ``box`` is left as it is: in the inferencer, say, where the image is the person.

    Changed keys: ``img``, ``img_shape``.

    Args:
        context (float): Added on each side, as a fraction of the box's width or height. Defaults to 0.
        outside (str): What a box without area inside the image gives: ``'raise'``, or ``'whole'``, the whole image.

    Raises:
        ValueError: ``context`` is negative, ``outside`` unknown, or the box has no area inside the image; the message
            names both.
    """

    def __init__(self, context: float = 0.0, outside: str = 'raise') -> None:
        if not 0 <= context < math.inf:
            raise ValueError(f'CropBox: context={context} must be a fraction of the box, 0 or more')
        if outside not in ('raise', 'whole'):
            raise ValueError(f"CropBox: outside={outside!r} must be 'raise' or 'whole'")
        self.context = context
        self.outside = outside

    def transform(self, results: dict) -> dict:
        """Replace the image by its part."""
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
    """Return first and behind-last pixel of the image's ``size`` for a range in ``ori_size`` pixels; never empty."""
    margin = context * (end - start)
    first = math.floor(max(start - margin, 0) * size / ori_size)
    last = math.ceil(min(end + margin, ori_size) * size / ori_size)
    return first, last
