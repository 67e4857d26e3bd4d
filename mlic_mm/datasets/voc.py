"""PASCAL VOC 2007 and 2012 as multi-label classification, with a choice for difficult labels."""

import os
import xml.etree.ElementTree as ET
from typing import Any

from mmpretrain.datasets import VOC

from mlic_mm.registry import DATASETS

from .labels import select_classes
from .multi_label_base import MultiLabelBase


@DATASETS.register_module()
class VOCMultiLabel(MultiLabelBase, VOC):
    """mmpretrain's VOC with complete samples, boxes, clear errors, and three ways to treat difficult labels.

    A label is difficult where every object of it in the image is marked so. ML-GCN and its followers train with
    difficult labels as positives and leave them out of the AP: ``'positive'`` in training, ``'ignore'`` in testing.
    The two years share classes and layout; the 2012 test set has no public labels, ``val`` stands in for it.

    ``img_id`` is the name in the image list; ``gt_label_difficult`` lists the difficult labels in any case.

    Args:
        data_root (str): Folder of one year, ``…/VOCdevkit/VOC2007``.
        split (str): ``train``, ``val``, ``trainval`` or ``test``.
        difficult (str): ``'ignore'`` (−1), ``'positive'`` (1) or ``'negative'`` (0).
        with_boxes (bool): Add ``instances``: a dict per object with ``bbox`` [x1, y1, x2, y2] in pixels counted from 0,
            right and lower edge outside, ``bbox_label`` and ``ignore_flag`` (1 for difficult objects).
        **kwargs: Of mmpretrain's ``VOC``: ``image_set_path``, ``data_prefix``, ``metainfo``, ``pipeline`` …

    Raises:
        FileNotFoundError: A part of the layout is missing; the message shows all of it.
        ValueError: An option, a list or an annotation is wrong; the message names file and value.
    """

    LAYOUT = (
        'Expected:\n'
        '  {root}\n'
        '  ├── Annotations/*.xml\n'
        '  ├── ImageSets/Main/trainval.txt, test.txt …\n'
        '  └── JPEGImages/*.jpg\n'
        'Get VOC2007 and VOC2012 from http://host.robots.ox.ac.uk/pascal/VOC/ ("development kit" pages: training/'
        'validation data and, for 2007, annotated test data), unpack and set data_root (the configs: environment '
        'variable VOC_ROOT, VOC12_ROOT for 2012) to VOCdevkit/VOC2007 or VOC2012.'
    )

    def __init__(
        self,
        data_root: str,
        split: str = 'trainval',
        difficult: str = 'ignore',
        with_boxes: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in ('train', 'val', 'trainval', 'test'):
            raise ValueError(f"VOCMultiLabel: split={split!r} must be 'train', 'val', 'trainval' or 'test'")
        if difficult not in ('ignore', 'positive', 'negative'):
            raise ValueError(f"VOCMultiLabel: difficult={difficult!r} must be 'ignore', 'positive' or 'negative'")
        self.difficult = difficult
        self.with_boxes = with_boxes
        super().__init__(data_root=os.path.expanduser(data_root), split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Parse the image list and each annotation once."""
        known = VOC.METAINFO['classes']
        asked = self._metainfo['classes']
        self._metainfo['classes'] = select_classes(asked, known, 'VOC')
        # Objects of VOC classes that were not asked for map to None; other names are errors.
        label_of = {name: None for name in known} | self.class_to_idx
        for path in (self.image_set_path, self.ann_prefix, self.img_prefix):
            self.require(path)
        return [self._parse(name, label_of) for name in self._image_names()]

    def _image_names(self) -> list[str]:
        names: dict[str, int] = {}
        with open(self.image_set_path, encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                name = line.strip()
                if not name:
                    continue
                if len(name.split()) > 1:
                    raise ValueError(
                        f'{self.image_set_path}:{number}: {name!r} is not one image name; use the list of a split, '
                        'not of a class'
                    )
                if name in names:
                    raise ValueError(f'{self.image_set_path}:{number}: {name!r} is already on line {names[name]}')
                names[name] = number
        if not names:
            raise ValueError(f'{self.image_set_path}: lists no image')
        return list(names)

    def _parse(self, name: str, label_of: dict) -> dict:
        path = os.path.join(self.ann_prefix, f'{name}.xml')
        try:
            root = ET.parse(path).getroot()
        except FileNotFoundError:
            self.require(path)
            raise
        except ET.ParseError as error:
            raise ValueError(f'{path}: not valid XML ({error}); restore it from the official archive') from None
        sure: set[int] = set()
        difficult: set[int] = set()
        instances = []
        for element in root.findall('object'):
            try:
                label = label_of[element.findtext('name', '').strip()]
                hard = int(element.findtext('difficult', '0'))  # a few objects of 2012 have no such tag
                box = [float(element.findtext(f'bndbox/{k}', '')) for k in ('xmin', 'ymin', 'xmax', 'ymax')]
            except KeyError as error:
                raise ValueError(f'{path}: unknown label {error}; VOC has {", ".join(label_of)}') from None
            except ValueError as error:
                raise ValueError(f'{path}: an object is malformed ({error}); restore the file') from None
            if label is None:
                continue
            (difficult if hard else sure).add(label)
            # VOC counts pixels from 1 and includes the last one.
            instances.append(dict(bbox=[box[0] - 1, box[1] - 1, box[2], box[3]], bbox_label=label, ignore_flag=hard))
        difficult -= sure
        info = self.make_info(
            img_path=os.path.join(self.img_prefix, f'{name}.jpg'),
            img_id=name,
            labels=sure | difficult if self.difficult == 'positive' else sure,
            ignored=difficult if self.difficult == 'ignore' else (),
            instances=instances if self.with_boxes else None,
        )
        info['gt_label_difficult'] = sorted(difficult)
        return info
