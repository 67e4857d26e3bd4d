"""PA-100K: 26 attributes of 100,000 cropped pedestrians."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from mlic_mm.registry import DATASETS
from mlic_mm.utils.label_names import select_classes

from ..missing_images import check_on_missing
from ..multi_label_base import MultiLabelBase
from .annotation import ATTRIBUTES, Splits, read_mat, read_npz

_ANNOTATIONS = ('annotation.mat', 'annotation/annotation.mat', 'pa100k_labels_100000x26.npz')
_FOLDERS = ('release_data/release_data/', 'release_data/', 'data/', 'images/', '')
_SPLITS = dict(train=('train',), val=('val',), trainval=('train', 'val'), test=('test',))


@DATASETS.register_module()
class PA100K(MultiLabelBase):
    """PA-100K with its official split: 80,000 crops for training, 10,000 for validation, 10,000 for testing.

    Two annotations are read: ``annotation.mat`` as published, and an npz with ``labels`` ``(100000, 26)`` and
    ``attributes`` ``(26,)``, whose rows are the images 000001.jpg … 100000.jpg in order, split 80/10/10.

    Images are looked for below ``data_prefix``, by default the root, in ``release_data/release_data``,
    ``release_data``, ``data``, ``images`` or directly, whichever holds most of them.

    A split of one's own is made of blocks, since neighbouring crops may show the same person: ``images=(1, 1400)`` for
    training and ``images=(1401, 2000)`` for testing. The block is cut before images are looked for, so it is the same
    ones on every disk, and missing ones outside it do not matter.

    ``img_id`` is the file name.

    Args:
        data_root (str): Root folder.
        split (str): ``'train'``, ``'val'``, ``'trainval'`` (both) or ``'test'``.
        ann_file (str): ``.mat`` or ``.npz``, relative to ``data_root``; empty: the first of ``annotation.mat``,
            ``annotation/annotation.mat`` and ``pa100k_labels_100000x26.npz`` that is there.
        data_prefix (str | dict): Image folder, relative to ``data_root``.
        on_missing (str): What to do about images that are not there: ``'raise'`` stops, ``'skip'`` leaves them out and
            counts them, ``'keep'`` does not look, for statistics and label graphs without photographs.
        images (tuple[int, int], optional): Only the images from this one to that one of the split, counted from 1, both
            included. Defaults to None: all.
        **kwargs: Of mmpretrain's ``BaseDataset``: ``metainfo``, ``pipeline`` …

    Attributes:
        missing (tuple[str, ...]): ``img_id`` of the images left out because they are not there.

    Raises:
        FileNotFoundError: The annotation or images are missing; the message shows the layout.
        ValueError: An option or the annotation is wrong; the message names file, value and cure.
    """

    METAINFO: ClassVar[dict] = dict(classes=ATTRIBUTES)

    LAYOUT = (
        'Expected:\n'
        '  {root}\n'
        '  ├── annotation.mat                            (or an npz with labels (100000, 26) and attributes)\n'
        '  └── release_data/release_data/000001.jpg …    (or release_data/, data/, images/)\n'
        'Get both from https://github.com/xh-liu/HydraPlus-Net ("PA-100K dataset"), unpack them into one folder and '
        'set data_root (the configs: environment variable PA100K_ROOT) to it. Without images, '
        "on_missing='keep' reads the labels alone."
    )

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        ann_file: str = '',
        data_prefix: str | dict = '',
        on_missing: str = 'raise',
        images: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in _SPLITS:
            raise ValueError(f"PA100K: split={split!r} must be 'train', 'val', 'trainval' or 'test'")
        check_on_missing('PA100K', on_missing)
        self.split = split
        self.on_missing = on_missing
        self.images = images
        root = os.path.expanduser(data_root)
        if not ann_file:
            there = (name for name in _ANNOTATIONS if os.path.exists(os.path.join(root, name)))
            ann_file = next(there, _ANNOTATIONS[0])
        super().__init__(ann_file=ann_file, data_root=root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read names and labels of the split, and look for the images."""
        self._metainfo['classes'] = select_classes(self._metainfo['classes'], ATTRIBUTES, 'PA-100K')
        columns = [ATTRIBUTES.index(name) for name in self._metainfo['classes']]
        splits = self._read()
        names = [name for part in _SPLITS[self.split] for name in splits[part][0]]
        labels = np.concatenate([splits[part][1] for part in _SPLITS[self.split]])[:, columns]
        if self.images is not None:
            block = self._block(len(names))
            names, labels = names[block], labels[block]
        return [
            self.make_info(path, name, np.flatnonzero(row).tolist())
            for path, name, row in zip(self.find_listed(names, _FOLDERS, self.on_missing), names, labels, strict=True)
            if path is not None
        ]

    def _block(self, num_images: int) -> slice:
        """Return where ``images`` lie in the split."""
        numbers = list(self.images) if isinstance(self.images, Sequence) else []
        ints = len(numbers) == 2 and all(isinstance(n, int) for n in numbers)
        if not ints or not 1 <= numbers[0] <= numbers[1] <= num_images:
            raise ValueError(
                f'PA100K: images={self.images!r} must be two numbers from 1 to {num_images}, the first and the last '
                f'image of split={self.split!r} to use'
            )
        return slice(numbers[0] - 1, numbers[1])

    def _read(self) -> Splits:
        self.require(self.ann_file)
        reader = dict(mat=read_mat, npz=read_npz).get(self.ann_file.rsplit('.', 1)[-1].lower())
        if reader is None:
            raise ValueError(f'{self.ann_file}: ann_file of PA100K must end in .mat or .npz')
        return reader(self.ann_file)
