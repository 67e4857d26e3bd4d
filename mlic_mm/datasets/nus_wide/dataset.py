"""NUS-WIDE: 81 concepts of 269,648 photographs from Flickr, many of which are gone."""

import os
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from mmengine.logging import print_log

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.label_names import select_classes

from ..find_images import find_images
from ..label_cache import cached_labels
from ..missing_images import OnMissing, report_missing
from ..multi_label_base import MultiLabelBase
from .lists import CONCEPTS, parse_flags, parse_list, parse_names

_LISTS = dict(train='TrainImagelist.txt', test='TestImagelist.txt', all='Imagelist.txt')


@DATASETS.register_module()
class NUSWIDE(MultiLabelBase):
    r"""NUS-WIDE in its official layout, or from a list file with a path and 81 flags a line.

    The splits in use, as images for training and testing:

    * 161,789 / 107,859, the official split: ``split='train'`` and ``'test'``;
    * 125,449 / 83,898, its images with at least one label: the same with ``drop_empty=True``;
    * 150,000 / 59,347, a random split of these 209,347: ``ann_file`` with the two list files of that split;
    * the images of any of them that still exist: ``on_missing='skip'``.

    The labels of a split come from ``Groundtruth/TrainTestLabels``. If that folder is missing, they come from
    ``Groundtruth/AllLabels`` and ``ImageList/Imagelist.txt``. Parsed labels are cached in the user's cache folder
    (:mod:`~mlic_mm.datasets.label_cache`). Nothing is written beside the data.

    The images are searched below ``data_prefix`` in one scan: by the path in the list (``actor\0001_2124494179.jpg`` or
    with ``/``), in any folder (``Flickr/actor/0001_2124494179.jpg``), or else by Flickr's number in the name
    (``2124494179.jpg``).

    ``img_id`` is the path in the list, with ``/``.

    Args:
        data_root: Root folder.
        split: A split of the official layout.
        ann_file: A list file in place of ``split``, relative to ``data_root``.
        data_prefix: Image folder, relative to ``data_root``.
        drop_empty: Whether to drop images that have none of the classes.
        on_missing: What to do about images that do not exist. ``'raise'`` stops, ``'skip'`` leaves them out and counts
            them, and ``'keep'`` does not look for them, for statistics and label graphs without photographs.
        cache: Whether to cache parsed labels, and to use the cached ones.
        **kwargs: Options of mmpretrain's ``BaseDataset``.

    Attributes:
        missing: ``img_id`` of the images that were left out because they do not exist.

    Raises:
        FileNotFoundError: A file is missing, or all images are. The message shows the layout.
        ValueError: An option or a line is invalid. The message names file, line, value and cure.

    Examples:
        >>> import pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> flags = ' '.join(['1'] + ['0'] * 79 + ['1'])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, 'list.txt').write_text(f'actor/0001_2124494179.jpg {flags}')
        ...     data = DATASETS.build(
        ...         dict(type='mlic_mm.NUSWIDE', data_root=folder, ann_file='list.txt', on_missing='keep', cache=False)
        ...     )
        >>> [data.metainfo['classes'][label] for label in data.get_data_info(0)['gt_label']]
        ['airport', 'zebra']
    """

    METAINFO: ClassVar[dict] = dict(classes=CONCEPTS)

    LAYOUT = (
        'Expected:\n'
        '  {root}\n'
        '  ├── ImageList/TrainImagelist.txt, TestImagelist.txt, Imagelist.txt\n'
        '  ├── Groundtruth/TrainTestLabels/Labels_airport_Train.txt, Labels_airport_Test.txt …\n'
        '  ├── Groundtruth/AllLabels/Labels_airport.txt …   (only without TrainTestLabels, or for split="all")\n'
        '  └── Flickr/actor/0001_2124494179.jpg …           (or any other folders)\n'
        'or, instead of ImageList and Groundtruth, a list file (ann_file) with a path and 81 flags a line.\n'
        'Get ImageList.zip and Groundtruth.zip from https://lms.comp.nus.edu.sg/research/NUS-WIDE.htm and ask there '
        'for the images, unpack them into one folder and set data_root (the configs: environment variable '
        "NUSWIDE_ROOT) to it. Without images, on_missing='keep' reads the labels alone."
    )

    def __init__(
        self,
        data_root: str = '',
        split: Literal['', 'train', 'test', 'all'] = '',
        ann_file: str = '',
        data_prefix: str | dict = '',
        drop_empty: bool = False,
        on_missing: OnMissing = 'skip',
        cache: bool = True,
        **kwargs: Any,
    ) -> None:
        if bool(split) == bool(ann_file):
            raise ValueError(f'split={split!r} and ann_file={ann_file!r}: set one of the two')
        if split:
            check_choice('split', split, tuple(_LISTS))
        check_choice('on_missing', on_missing, get_args(OnMissing))
        self.split = split
        self.drop_empty = drop_empty
        self.on_missing = on_missing
        self.cache = cache
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read names and labels, and look for the images."""
        names, labels = self._official() if self.split else self._from_list()
        classes = select_classes(self._metainfo['classes'], CONCEPTS, 'NUS-WIDE')
        self._metainfo['classes'] = classes
        labels = labels[:, [CONCEPTS.index(name) for name in classes]]
        keep = labels.any(1) if self.drop_empty else np.ones(len(names), bool)
        if not keep.any():
            raise ValueError(f'{self.ann_file or self.split}: no image has one of the {len(classes)} classes')
        names = [names[i] for i in np.flatnonzero(keep).tolist()]
        paths = self._find(names)
        rows, columns = np.nonzero(labels[keep])
        ends = np.searchsorted(rows, np.arange(len(names)), side='right').tolist()
        positive = columns.tolist()
        return [
            self.make_info(path, name, positive[start:end])
            for path, name, start, end in zip(paths, names, [0, *ends], ends, strict=False)
            if path is not None
        ]

    def _official(self) -> tuple[list[str], np.ndarray]:
        """Return entries and labels, bool ``(N, 81)``, of a split."""
        wanted = os.path.join(self.data_root, 'ImageList', _LISTS[self.split])
        folder = os.path.join(self.data_root, 'Groundtruth', 'TrainTestLabels')
        ending = f'_{self.split.title()}'
        listed = wanted
        if self.split == 'all' or not os.path.isdir(folder):
            # The same photographs in another order: the rows of the split are found by name.
            listed = os.path.join(self.data_root, 'ImageList', _LISTS['all'])
            folder, ending = os.path.join(self.data_root, 'Groundtruth', 'AllLabels'), ''
        names, labels = self._parsed(listed, [os.path.join(folder, f'Labels_{c}{ending}.txt') for c in CONCEPTS])
        if listed == wanted:
            return names, labels
        row = {name: i for i, name in enumerate(names)}
        names = parse_names(self._read(wanted), wanted)
        for line, name in enumerate(names, 1):
            if name not in row:
                raise ValueError(f'{wanted}:{line}: {name!r} is not in {listed}; take both from the same archive')
        return names, labels[[row[name] for name in names]]

    def _from_list(self) -> tuple[list[str], np.ndarray]:
        """Return entries and labels, bool ``(N, 81)``, of the list file."""
        return self._parsed(self.ann_file, [])

    def _parsed(self, listed: str, flag_files: list[str]) -> tuple[list[str], np.ndarray]:
        """Return entries and labels from the cache, or parse them. The flags are in ``flag_files`` or in the list."""

        def parse() -> tuple[list[str], np.ndarray]:
            if not flag_files:
                return parse_list(self._read(listed), listed)
            names = parse_names(self._read(listed), listed)
            columns = [parse_flags(self._read(path), path, len(names), listed) for path in flag_files]
            return names, np.stack(columns, 1)

        sources = [listed, *flag_files]
        for path in sources:
            self.require(path)
        return cached_labels(sources, parse) if self.cache else parse()

    def _read(self, path: str) -> bytes:
        self.require(path)
        with open(path, 'rb') as file:
            return file.read()

    def _find(self, names: list[str]) -> list[str | None]:
        """Return the path of every image, None for an image to leave out."""
        if self.on_missing == 'keep':
            return [os.path.join(self.img_prefix, name) for name in names]
        root = self.img_prefix or '.'
        self.require(root)
        paths, by_number = find_images(root, names)
        layout = self.LAYOUT.format(root=self.data_root or '.')
        self.missing = report_missing(root, names, paths, self.on_missing, layout)
        if by_number:
            print_log(f"{by_number} images below {root} have other names and were found by Flickr's number", 'current')
        return paths
