"""WIDER Attribute: 14 attributes of 57,524 persons in 13,789 photographs."""

import os
from typing import Any, ClassVar, Literal, get_args

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.label_names import select_classes

from ..missing_images import OnMissing
from ..multi_label_base import MultiLabelBase
from ..transforms.crop_box import CropBox
from .annotation import ATTRIBUTES, read_persons

_FILES = dict(train='trainval', val='trainval', trainval='trainval', test='test')
_ANNOTATIONS = ('Annotations', 'Anno', 'annotations', 'wider_attribute_annotation', '')
_FOLDERS = ('Image/', 'images/', 'wider_attribute_image/Image/', '')


@DATASETS.register_module()
class WIDERAttribute(MultiLabelBase):
    """WIDER Attribute as published. A sample is a person, cropped to its box.

    The published values are 1 present, −1 absent and 0 unspecified. Here they are 1 present, 0 absent and −1 ignored.
    So −1 becomes 0, and 0 becomes −1.

    The persons come from ``wider_attribute_trainval.json`` (28,345, ``'train'`` and ``'val'`` by the first folder of
    ``file_name``) and ``wider_attribute_test.json`` (29,179). The files lie below the root in ``Annotations``,
    ``Anno``, ``annotations``, ``wider_attribute_annotation`` or directly. The photographs lie below ``data_prefix``, by
    default the root, in ``Image``, ``images``, ``wider_attribute_image/Image`` or directly. The folder that holds most
    of them is taken.

    A sample also has ``box``, [x1, y1, x2, y2] in pixels of the file, with the right and lower edges outside.
    :class:`~mlic_mm.datasets.transforms.CropBox` crops to it in the pipeline, after ``LoadImage``. It can keep some
    context, and cuts off what lies outside the photograph. ``LoadImage`` checks and caches a photograph once for all
    its persons.

    ``img_id`` is ``file_name``, ``#`` and the number of the person in ``targets`` from 0: ``train/…/x.jpg#3``. An
    image without targets gives no sample. A person that is listed twice gives two.

    Args:
        data_root: Root folder.
        split: A split. ``'trainval'`` is ``'train'`` and ``'val'`` together.
        ann_file: A file in place of the published one of the split, relative to ``data_root``.
        data_prefix: Image folder, relative to ``data_root``.
        on_missing: What to do about images that do not exist. ``'raise'`` stops, ``'skip'`` leaves them out and counts
            them, and ``'keep'`` does not look for them, for statistics and label graphs without photographs.
        **kwargs: Options of mmpretrain's ``BaseDataset``: ``metainfo``, ``pipeline``, ``indices`` …

    Attributes:
        missing: ``file_name`` of the photographs that were left out because they do not exist.

    Raises:
        FileNotFoundError: The annotation or photographs are missing. The message shows the layout.
        ValueError: An option or the annotation is invalid, such as a box without area, or the pipeline does not crop.
            The message names file, image, value and cure.

    Examples:
        >>> import json, pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> person = dict(attribute=[1, -1, 0] + [-1] * 11, bbox=[4, 4, 20, 40])
        >>> content = dict(images=[dict(file_name='test/0--Parade/a.jpg', targets=[person])])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, 'wider_attribute_test.json').write_text(json.dumps(content))
        ...     data = DATASETS.build(
        ...         dict(type='mlic_mm.WIDERAttribute', data_root=folder, split='test', on_missing='keep')
        ...     )
        >>> data.get_data_info(0)['gt_score'][:3]  # present, absent, ignored
        array([ 1.,  0., -1.], dtype=float32)
    """

    METAINFO: ClassVar[dict] = dict(classes=ATTRIBUTES)

    LAYOUT = (
        'Expected:\n'
        '  {root}\n'
        '  ├── Annotations/wider_attribute_trainval.json, wider_attribute_test.json   (or Anno/, or in the root)\n'
        '  └── Image/train/0--Parade/*.jpg …, Image/val/…, Image/test/…               (or images/, or in the root)\n'
        'Get images and annotations from http://mmlab.ie.cuhk.edu.hk/projects/WIDERAttribute.html, unpack them into '
        'one folder and set data_root (the configs: environment variable WIDER_ROOT) to it. Without photographs, '
        "on_missing='keep' reads the labels alone."
    )

    def __init__(
        self,
        data_root: str = '',
        split: Literal['train', 'val', 'trainval', 'test'] = 'trainval',
        ann_file: str = '',
        data_prefix: str | dict = '',
        on_missing: OnMissing = 'raise',
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, tuple(_FILES))
        check_choice('on_missing', on_missing, get_args(OnMissing))
        self.split = split
        self.on_missing = on_missing
        root = os.path.expanduser(data_root)
        if not ann_file:
            files = [os.path.join(folder, f'wider_attribute_{_FILES[split]}.json') for folder in _ANNOTATIONS]
            ann_file = next((name for name in files if os.path.exists(os.path.join(root, name))), files[0])
        super().__init__(ann_file=ann_file, data_root=root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the persons of the split, and look for their photographs."""
        if self.pipeline.transforms and not any(isinstance(step, CropBox) for step in self.pipeline.transforms):
            raise ValueError(
                'the pipeline does not crop, so every person would be the whole photograph; add '
                "dict(type='mlic_mm.CropBox') after mlic_mm.LoadImage"
            )
        self.require(self.ann_file)
        classes = select_classes(self._metainfo['classes'], ATTRIBUTES, 'WIDER Attribute')
        self._metainfo['classes'] = classes
        columns = [ATTRIBUTES.index(name) for name in classes]
        images = read_persons(self.ann_file, ('test',) if self.split == 'test' else ('train', 'val'))
        if self.split in ('train', 'val'):
            images = {name: persons for name, persons in images.items() if name.startswith(f'{self.split}/')}
        names = [name for name, persons in images.items() if persons]
        if not names:
            raise ValueError(f'{self.ann_file}: no person in split={self.split!r}; use the published file')
        data_list = []
        for name, path in zip(names, self.find_listed(names, _FOLDERS, self.on_missing), strict=True):
            if path is None:
                continue
            for number, (box, values) in enumerate(images[name]):
                present = [i for i, column in enumerate(columns) if values[column] == 1]
                unspecified = [i for i, column in enumerate(columns) if values[column] == 0]
                data_list.append(dict(self.make_info(path, f'{name}#{number}', present, unspecified), box=box))
        return data_list
