"""PA-100K: 26 attributes of 100,000 cropped pedestrians."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.label_names import select_classes

from ..missing_images import OnMissing
from ..multi_label_base import MultiLabelBase
from .annotation import ATTRIBUTES, Splits, read_mat, read_npz

_ANNOTATIONS = ('annotation.mat', 'annotation/annotation.mat', 'pa100k_labels_100000x26.npz')
_FOLDERS = ('release_data/release_data/', 'release_data/', 'data/', 'images/', '')
_SPLITS = dict(train=('train',), val=('val',), trainval=('train', 'val'), test=('test',))


@DATASETS.register_module()
class PA100K(MultiLabelBase):
    """PA-100K with its official split: 80,000 crops for training, 10,000 for validation, 10,000 for testing.

    The class reads ``annotation.mat`` as published, or an npz with ``labels`` ``(100000, 26)`` and ``attributes``
    ``(26,)``. The rows of the npz are the images 000001.jpg … 100000.jpg in order, split 80/10/10.

    The images lie below ``data_prefix``, by default the root, in ``release_data/release_data``, ``release_data``,
    ``data``, ``images`` or directly. The folder that holds most of them is taken.

    Blocks of images make a split of your own: ``images=(1, 1400)`` for training and ``images=(1401, 2000)`` for
    testing. They are blocks because neighbouring crops may show the same person. A block is cut before the images are
    searched. So it has the same images on every disk, and missing images outside it do not matter.

    ``img_id`` is the file name.

    Args:
        data_root: Root folder.
        split: A split. ``'trainval'`` is ``'train'`` and ``'val'`` together.
        ann_file: A ``.mat`` or ``.npz`` file, relative to ``data_root``. Defaults to the first of ``annotation.mat``,
            ``annotation/annotation.mat`` and ``pa100k_labels_100000x26.npz`` that exists.
        data_prefix: Image folder, relative to ``data_root``.
        on_missing: What to do about images that do not exist. ``'raise'`` stops, ``'skip'`` leaves them out and counts
            them, and ``'keep'`` does not look for them, for statistics and label graphs without photographs.
        images: The first and the last image of the split to use, counted from 1. Defaults to None: all images.
        **kwargs: Options of mmpretrain's ``BaseDataset``: ``metainfo``, ``pipeline`` …

    Attributes:
        missing: ``img_id`` of the images that were left out because they do not exist.

    Raises:
        FileNotFoundError: The annotation or images are missing. The message shows the layout.
        ValueError: An option or the annotation is invalid. The message names file, value and cure.

    Examples:
        >>> import pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> labels = np.zeros((100_000, 26), bool)
        >>> labels[0, :3] = True
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(pathlib.Path(folder, 'a.npz'), labels=labels, attributes=ATTRIBUTES)
        ...     data = DATASETS.build(
        ...         dict(type='mlic_mm.PA100K', data_root=folder, ann_file='a.npz', images=(1, 9), on_missing='keep')
        ...     )
        >>> len(data), [data.metainfo['classes'][label] for label in data.get_data_info(0)['gt_label']]
        (9, ['Female', 'AgeOver60', 'Age18-60'])
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
        split: Literal['train', 'val', 'trainval', 'test'] = 'train',
        ann_file: str = '',
        data_prefix: str | dict = '',
        on_missing: OnMissing = 'raise',
        images: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, tuple(_SPLITS))
        check_choice('on_missing', on_missing, get_args(OnMissing))
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
                f'images={self.images!r} must be two numbers from 1 to {num_images}: the first and the last image of '
                f'split={self.split!r} to use'
            )
        return slice(numbers[0] - 1, numbers[1])

    def _read(self) -> Splits:
        self.require(self.ann_file)
        reader = dict(mat=read_mat, npz=read_npz).get(self.ann_file.rsplit('.', 1)[-1].lower())
        if reader is None:
            raise ValueError(f'{self.ann_file}: ann_file of PA100K must end in .mat or .npz')
        return reader(self.ann_file)
