"""Load an image of any common kind, with a policy for those that cannot be read."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mlic_mm.registry import TRANSFORMS

from .image_io import BadImageError, read_image


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``results['img_path']`` as upright 8-bit BGR; see :func:`read_image` for what becomes of each kind.

    Added keys: ``img`` uint8 ``(H, W, 3)``, ``img_shape`` its ``(H, W)``, ``ori_shape`` the upright size of the file
    ``(H0, W0)``. Boxes in ``instances`` stay in pixels of ``ori_shape``.

    Args:
        on_error (str): ``'raise'`` ends the run with a message that names the file and the cure. ``'skip'`` leaves
            unreadable images out: our data sets read all images once when they are built and drop those (see
            :class:`~mlic_mm.datasets.multi_label_base.MultiLabelBase`). In another data set the transform returns None,
            for which mmengine draws another image in training and fails in testing.
        short_side (int, optional): Shrink images so that their shorter side has at most this many pixels; Saves
            memory, in the cache above all, rather than time. Defaults to None: full size.
        max_pixels (int): Larger images are refused before they are decoded. Defaults to 80 million (0.24 GB decoded).
        cache_mb (int): Keep decoded images in memory, up to this many MiB; 0 keeps none. An image takes ``3·H·W``
            bytes: 2,400 photographs of 4:3 with ``short_side=176`` take 284 MiB. Our data sets fill the cache when they
            are built, in the main process, so that forked workers share it.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        on_error: str = 'raise',
        short_side: int | None = None,
        max_pixels: int = 80_000_000,
        cache_mb: int = 0,
    ) -> None:
        if on_error not in ('raise', 'skip'):
            raise ValueError(f"LoadImage: on_error={on_error!r} must be 'raise' or 'skip'")
        for name, value in (('short_side', short_side), ('max_pixels', max_pixels)):
            if value is not None and value < 1:
                raise ValueError(f'LoadImage: {name}={value} must be at least 1')
        if cache_mb < 0:
            raise ValueError(f'LoadImage: cache_mb={cache_mb} must not be negative')
        self.on_error = on_error
        self.short_side = short_side
        self.max_pixels = max_pixels
        self.cache_mb = cache_mb
        self._cache: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
        self._cached_bytes = 0

    def transform(self, results: dict) -> dict | None:
        """Add ``img``, ``img_shape`` and ``ori_shape``; None for an unreadable image under ``'skip'``."""
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
        """Read ``path`` into the cache, if there is one.

        Returns:
            str | None: Why it cannot be read, None where it can.

        Raises:
            BadImageError, FileNotFoundError: It cannot be read and ``on_error='raise'``.
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
