"""COCO, and any data set annotated in its format, as multi-label classification."""

import os
from typing import Any, Literal

from mlic_mm.registry import DATASETS
from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.json_file import MOST_PIXELS, read_json
from mlic_mm.utils.label_names import select_classes

from .multi_label_base import MultiLabelBase


@DATASETS.register_module()
class COCOMultiLabel(MultiLabelBase):
    """Image labels from an instances JSON. A label is present if the image has an object of it.

    Crowd regions (``iscrowd=1``) count as labels, as in the label lists that this field publishes (82,081 and 40,137
    images of COCO 2014). The classes are in the order of their category ids, or in alphabetical order (``class_order``,
    the order of ML-GCN's label graph). ``metainfo=dict(classes=…)`` may name them in another order, or fewer of them.

    ``img_id`` is the image id, with 12 digits if it is a number.

    Args:
        ann_file: Instances JSON, relative to ``data_root``.
        data_root: Root folder.
        data_prefix: Image folder, relative to ``data_root``.
        with_boxes: Whether to add ``instances``: a dict for each object with ``bbox`` [x1, y1, x2, y2] in pixels of the
            file, clipped to the image, ``bbox_label`` and ``ignore_flag`` (1 for crowds). A box without area in the
            image is left out.
        drop_empty: Whether to drop images that have none of the classes.
        class_order: Order of the classes if ``metainfo`` does not name them.
        **kwargs: Options of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The JSON or the image folder is missing. The message shows the layout.
        ValueError: The JSON is malformed or is no instances file, a class is unknown or doubled, or one image has two
            ids and different labels.

    Examples:
        >>> import json, pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> content = dict(
        ...     images=[dict(id=7, file_name='a.jpg', width=40, height=30)],
        ...     annotations=[dict(image_id=7, category_id=2, bbox=[5, 5, 10, 10])],
        ...     categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, 'a.json').write_text(json.dumps(content))
        ...     data = DATASETS.build(dict(type='mlic_mm.COCOMultiLabel', ann_file='a.json', data_root=folder))
        >>> data.get_data_info(0)['img_id'], data.get_data_info(0)['gt_score']
        ('000000000007', array([0., 1.], dtype=float32))
    """

    LAYOUT = (
        'Expected (2014; 2017 has the same with 2017 in the names):\n'
        '  {root}\n'
        '  ├── annotations/instances_train2014.json, instances_val2014.json\n'
        '  ├── train2014/*.jpg\n'
        '  └── val2014/*.jpg\n'
        'Get "Train images", "Val images" and "Train/Val annotations" from https://cocodataset.org/#download, unzip '
        'them into one folder and set data_root (the configs: environment variable COCO_ROOT) to it.'
    )

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: str | dict = '',
        with_boxes: bool = False,
        drop_empty: bool = False,
        class_order: Literal['id', 'alphabetical'] = 'id',
        **kwargs: Any,
    ) -> None:
        check_choice('class_order', class_order, ('id', 'alphabetical'))
        self.with_boxes = with_boxes
        self.drop_empty = drop_empty
        self.class_order = class_order
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the JSON."""
        self.require(self.ann_file)
        self.require(self.img_prefix)
        content = _read_instances(self.ann_file)
        label_of = self._labels(content['categories'])
        objects_of: dict[int | str, list[dict]] = {image['id']: [] for image in content['images']}
        for annotation in content['annotations']:
            if label_of[annotation['category_id']] is not None:
                objects_of[annotation['image_id']].append(annotation)
        data_list = []
        first: dict[str, tuple[int | str, set]] = {}
        for image in content['images']:
            image_id, objects = image['id'], objects_of[image['id']]
            labels = {label_of[a['category_id']] for a in objects}
            other_id, other_labels = first.setdefault(os.path.normpath(image['file_name']), (image_id, labels))
            if labels != other_labels:
                raise ValueError(
                    f'{self.ann_file}: images {other_id!r} and {image_id!r} are both {image["file_name"]!r} and have '
                    'different labels; merge the two'
                )
            if not objects and self.drop_empty:
                continue
            boxes = None
            if self.with_boxes:
                found = [_box(a, image, label_of[a['category_id']], self.ann_file) for a in objects]
                boxes = [box for box in found if box is not None]
            data_list.append(
                self.make_info(
                    img_path=os.path.join(self.img_prefix, image['file_name']),
                    img_id=f'{image_id:012d}' if isinstance(image_id, int) else image_id,
                    labels=labels,
                    instances=boxes,
                )
            )
        if not data_list:
            raise ValueError(f'{self.ann_file}: no image is left (drop_empty={self.drop_empty})')
        return data_list

    def _labels(self, categories: list[dict]) -> dict:
        """Set ``metainfo['classes']``, and return the class index of each category id, None for an unused category."""
        ordered = [c['name'] for c in sorted(categories, key=lambda c: c['id'])]
        asked = self._metainfo.get('classes')
        if asked is not None and self.class_order != 'id':
            raise ValueError(f"class_order={self.class_order!r} must not be set beside metainfo['classes']; drop one")
        if self.class_order == 'alphabetical':
            ordered = sorted(ordered)
        classes = select_classes(asked, ordered, self.ann_file)
        self._metainfo['classes'] = classes
        index = {name: i for i, name in enumerate(classes)}
        return {c['id']: index.get(c['name']) for c in categories}


def _read_instances(path: str) -> dict[str, list[dict]]:
    """Return images, annotations and categories of an instances JSON, after checking their ids and names.

    Raises:
        ValueError: The file is no instances JSON, or an entry is invalid. The message names file, entry and cure.
    """
    content = read_json(path)
    fields: dict[str, dict[str, tuple[type, ...]]] = dict(
        images=dict(id=(int, str), file_name=(str,)),
        annotations=dict(image_id=(int, str), category_id=(int, str)),
        categories=dict(id=(int, str), name=(str,)),
    )
    for key, kinds in fields.items():
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f'{path}: no list {key!r}: not a COCO instances file; use instances_*.json')
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not kinds.keys() <= entry.keys():
                raise ValueError(f'{path}: {key}[{position}] = {show(entry)} lacks {sorted(kinds)}; add them')
            for field, types in kinds.items():
                value = entry[field]
                if type(value) not in types or value == '':
                    expected = 'text' if types == (str,) else 'a whole number or text'
                    raise ValueError(f'{path}: {key}[{position}] has {field} {show(value)}; write {expected}')
    ids: dict[str, set] = {}
    for key in ('images', 'categories'):
        seen = ids[key] = set()
        for entry in content[key]:
            if entry['id'] in seen:
                raise ValueError(f'{path}: two {key} have the id {entry["id"]!r}; ids must be unique')
            seen.add(entry['id'])
    if len({type(entry['id']) for entry in content['categories']}) > 1:
        raise ValueError(f'{path}: some ids of categories are numbers and some are text; write one kind')
    for key, link in (('images', 'image_id'), ('categories', 'category_id')):
        for position, annotation in enumerate(content['annotations']):
            if annotation[link] not in ids[key]:
                raise ValueError(
                    f'{path}: annotations[{position}] has {link} {annotation[link]!r}, which is not in {key!r}; '
                    'remove it or add the entry'
                )
    return content


def _box(annotation: dict, image: dict, label: int, path: str) -> dict | None:
    """Return the instance of an annotation, None if its box has no area inside the image."""
    try:
        x, y, w, h = (float(v) for v in annotation['bbox'])
        width, height = float(image['width']), float(image['height'])
        if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
            raise ValueError
        if not all(abs(value) <= MOST_PIXELS for value in (x, y, w, h)) or min(w, h) < 0:
            raise ValueError
        crowd = {0: 0, 1: 1}[annotation.get('iscrowd', 0)]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(
            f'{path}: annotation {show(annotation.get("id"))} has bbox {show(annotation.get("bbox"))} in an image of '
            f'{show(image.get("width"))} × {show(image.get("height"))} and iscrowd '
            f'{show(annotation.get("iscrowd", 0))}; with_boxes needs [x, y, width, height] in pixels, none of '
            'them NaN, width and height not below 0, the size, and 0 or 1'
        ) from None
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if not (x2 > x1 and y2 > y1):
        return None
    return dict(bbox=[x1, y1, x2, y2], bbox_label=label, ignore_flag=crowd)
