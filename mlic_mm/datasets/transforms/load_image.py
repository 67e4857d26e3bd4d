"""Load an image of any common kind, with a policy for images that cannot be read."""

import math
from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.choices import check_choice, check_range

from .image_io import BadImageError, read_image


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``results['img_path']`` as upright 8-bit BGR. :func:`read_image` describes each kind of image.

    Added keys: ``img`` uint8 ``(H, W, 3)``, ``img_shape`` its ``(H, W)``, ``ori_shape`` the upright size of the file
    ``(H0, W0)``. Boxes in ``instances`` stay in pixels of ``ori_shape``.

    Args:
        on_error: ``'raise'`` ends the run with a message that names the file and the cure. ``'skip'`` leaves unreadable
            images out: the data sets of mlic_mm read all images once when they are built and drop these (see
            :class:`~mlic_mm.datasets.multi_label_base.MultiLabelBase`). In another data set the transform returns None.
            mmengine then draws another image in training, and fails in testing.
        short_side: Shrink images so that their shorter side has at most this many pixels. This saves more memory,
            above all in the cache, than time. Defaults to None: full size.
        max_pixels: Larger images are refused before they are decoded. The default allows 0.24 GB of decoded pixels.
        cache_mb: Keep decoded images in memory, up to this many MiB. An image takes ``3·H·W`` bytes: 2,400 photographs
            of 4:3 with ``short_side=176`` take 284 MiB. The data sets of mlic_mm fill the cache when they are built, in
            the main process, so that forked workers share it.

    Raises:
        ValueError: An option is out of range.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> from mlic_mm.registry import TRANSFORMS
        >>> load = TRANSFORMS.build(dict(type='mlic_mm.LoadImage', short_side=30))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new('RGB', (80, 60)).save(f'{folder}/a.png')
        ...     sample = load(dict(img_path=f'{folder}/a.png'))
        >>> sample['img'].shape, sample['ori_shape']
        ((30, 40, 3), (60, 80))
    """

    def __init__(
        self,
        on_error: Literal['raise', 'skip'] = 'raise',
        short_side: int | None = None,
        max_pixels: int = 80_000_000,
        cache_mb: int = 0,
    ) -> None:
        check_choice('on_error', on_error, ('raise', 'skip'))
        if short_side is not None:
            check_range('short_side', short_side, at_least=1)
        if max_pixels != math.inf:
            check_range('max_pixels', max_pixels, at_least=1)
        check_range('cache_mb', cache_mb, at_least=0)
        self.on_error = on_error
        self.short_side = short_side
        self.max_pixels = max_pixels
        self.cache_mb = cache_mb
        self._cache: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
        self._cached_bytes = 0

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, ``img_shape`` and ``ori_shape``. Return None for an unreadable image under ``'skip'``."""
        try:
            img, ori_shape = self._load(results['img_path'])
        except (BadImageError, FileNotFoundError) as error:
            if self.on_error == 'raise':
                raise
            print_log(f'left out: {error}', logger='current', level=30)
            return None
        results.update(img=img, img_shape=img.shape[:2], ori_shape=ori_shape)
        return results

    def check(self, path: str) -> str | None:
        """Read an image, into the cache if there is one.

        Returns:
            Why the image cannot be read, None if it can.

        Raises:
            BadImageError, FileNotFoundError: The image cannot be read, and ``on_error`` is ``'raise'``.
        """
        try:
            self._load(path)
        except (BadImageError, FileNotFoundError) as error:
            if self.on_error == 'raise':
                raise
            return str(error)
        return None

    def _load(self, path: str) -> tuple[np.ndarray, tuple[int, int]]:
        if path in self._cache:
            img, ori_shape = self._cache[path]
            return img.copy(), ori_shape  # later transforms may write into the image
        img, ori_shape = read_image(path, self.short_side, self.max_pixels)
        if self._cached_bytes + img.nbytes <= self.cache_mb * 2**20:
            self._cached_bytes += img.nbytes
            self._cache[path] = (img.copy(), ori_shape)
        return img, ori_shape

    def __repr__(self) -> str:
        return (
            f'LoadImage(on_error={self.on_error!r}, short_side={self.short_side}, max_pixels={self.max_pixels}, '
            f'cache_mb={self.cache_mb})'
        )
