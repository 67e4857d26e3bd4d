"""COCO, and any data set annotated in its format, as multi-label classification."""

import contextlib
import io
import os
from typing import Any

from mlic_mm.registry import DATASETS

from .json_file import read_json
from .labels import select_classes
from .multi_label_base import MultiLabelBase


@DATASETS.register_module()
class COCOMultiLabel(MultiLabelBase):
    """Image labels from an instances JSON: a label is present where the image has an object of it.

    Crowd regions (``iscrowd=1``) count as labels, as in the label lists this field publishes (82,081 and 40,137 images
    of COCO 2014). Classes stand in the order of their category ids, or alphabetically (``class_order``; the order of
    ML-GCN's label graph), or as ``metainfo=dict(classes=…)`` says, which may also be a subset.

    ``img_id`` is the image id, 12 digits for numbers.

    Args:
        ann_file (str): Instances JSON, relative to ``data_root``.
        data_root (str): Root folder.
        data_prefix (str | dict): Image folder, relative to ``data_root``.
        with_boxes (bool): Add ``instances``: a dict per object with ``bbox`` [x1, y1, x2, y2] in pixels of the file,
            clipped to the image, ``bbox_label`` and ``ignore_flag`` (1 for crowds). Boxes without area are left out.
        drop_empty (bool): Drop images that have none of the classes. Defaults to False.
        class_order (str): ``'id'`` or ``'alphabetical'``; only without ``metainfo['classes']``.
        **kwargs: Of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: JSON or image folder is missing; the message shows the layout.
        ValueError: The JSON is malformed, is not an instances file, or a class is unknown or doubled.
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
        class_order: str = 'id',
        **kwargs: Any,
    ) -> None:
        if class_order not in ('id', 'alphabetical'):
            raise ValueError(f"{type(self).__name__}: class_order={class_order!r} must be 'id' or 'alphabetical'")
        self.with_boxes = with_boxes
        self.drop_empty = drop_empty
        self.class_order = class_order
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the JSON with pycocotools' index."""
        self.require(self.ann_file)
        self.require(self.img_prefix)
        coco = _load_coco(self.ann_file)
        label_of = self._labels(coco.dataset['categories'])
        data_list = []
        for image in coco.dataset['images']:
            objects = [a for a in coco.imgToAnns.get(image['id'], ()) if label_of[a['category_id']] is not None]
            if not objects and self.drop_empty:
                continue
            boxes = None
            if self.with_boxes:
                found = [_box(a, image, label_of[a['category_id']], self.ann_file) for a in objects]
                boxes = [box for box in found if box is not None]
            image_id = image['id']
            data_list.append(
                self.make_info(
                    img_path=os.path.join(self.img_prefix, image['file_name']),
                    img_id=f'{image_id:012d}' if isinstance(image_id, int) else str(image_id),
                    labels=[label_of[a['category_id']] for a in objects],
                    instances=boxes,
                )
            )
        if not data_list:
            raise ValueError(f'{self.ann_file}: no image is left (drop_empty={self.drop_empty})')
        return data_list

    def _labels(self, categories: list[dict]) -> dict:
        """Set ``metainfo['classes']`` and return the class index of each category id, None for unused ones."""
        ordered = [c['name'] for c in sorted(categories, key=lambda c: c['id'])]
        asked = self._metainfo.get('classes')
        if asked is not None and self.class_order != 'id':
            raise ValueError(f"class_order={self.class_order!r} and metainfo['classes'] are both set; drop one of them")
        if self.class_order == 'alphabetical':
            ordered = sorted(ordered)
        classes = select_classes(asked, ordered, self.ann_file)
        self._metainfo['classes'] = classes
        index = {name: i for i, name in enumerate(classes)}
        return {c['id']: index.get(c['name']) for c in categories}


def _load_coco(path: str) -> Any:
    """Return pycocotools' index of an instances JSON, after checking what the index takes for granted."""
    from pycocotools.coco import COCO

    content = read_json(path)
    kinds = dict(images={'id', 'file_name'}, annotations={'image_id', 'category_id'}, categories={'id', 'name'})
    for key, fields in kinds.items():
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f'{path}: no list {key!r}: not a COCO instances file; use instances_*.json')
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not fields <= entry.keys():
                raise ValueError(f'{path}: {key}[{position}] = {str(entry)[:80]} lacks {sorted(fields)}; add them')
    for key in ('images', 'categories'):
        seen: set = set()
        for entry in content[key]:
            if entry['id'] in seen:
                raise ValueError(f'{path}: two {key} have the id {entry["id"]!r}; ids must be unique')
            seen.add(entry['id'])
        link = 'image_id' if key == 'images' else 'category_id'
        for position, annotation in enumerate(content['annotations']):
            if annotation[link] not in seen:
                raise ValueError(
                    f'{path}: annotations[{position}] has {link} {annotation[link]!r}, which is not in {key!r}; '
                    'remove it or add the entry'
                )
    with contextlib.redirect_stdout(io.StringIO()):  # it reports every step on stdout
        coco = COCO()
        coco.dataset = content
        coco.createIndex()
    return coco


def _box(annotation: dict, image: dict, label: int, path: str) -> dict | None:
    """Return the instance of an annotation, None where its box has no area inside the image."""
    try:
        x, y, w, h = (float(v) for v in annotation['bbox'])
        width, height = float(image['width']), float(image['height'])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f'{path}: annotation {annotation.get("id")} has bbox {annotation.get("bbox")!r} in an image of '
            f'{image.get("width")} × {image.get("height")}; with_boxes needs [x, y, width, height] and the size'
        ) from None
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if not (x2 > x1 and y2 > y1):  # also true for NaN
        return None
    return dict(bbox=[x1, y1, x2, y2], bbox_label=label, ignore_flag=int(annotation.get('iscrowd', 0)))
