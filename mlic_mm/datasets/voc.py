"""PASCAL VOC 2007 and 2012 as multi-label classification, with a choice for difficult labels."""

import difflib
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from mmengine.logging import print_log
from mmpretrain.datasets import VOC

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice, did_you_mean
from mlic_mm.utils.json_file import MOST_PIXELS
from mlic_mm.utils.label_names import unique_classes
from mlic_mm.utils.utf8 import decode_utf8

from .multi_label_base import MultiLabelBase


@DATASETS.register_module()
class VOCMultiLabel(MultiLabelBase, VOC):
    """mmpretrain's VOC with complete samples, boxes, clear errors, and three ways to treat difficult labels.

    A label is difficult if every object of it in the image is marked difficult. ML-GCN and its followers train with
    difficult labels as positives and leave them out of the AP: ``'positive'`` in training, ``'ignore'`` in testing.
    The two years share classes and layout. The 2012 test set has no public labels, so ``val`` takes its place.

    This class also reads other data sets in this layout, if ``metainfo=dict(classes=…)`` names a class that VOC does
    not have. In VOC itself, a name that is none of the twenty classes is an error. In another data set, objects with
    other names are left out, and a warning names them.

    ``img_id`` is the name in the image list. ``gt_label_difficult`` lists the difficult labels in any case.

    Args:
        data_root: Folder of one year, ``…/VOCdevkit/VOC2007``.
        split: Which image list to read.
        difficult: What a difficult label becomes: ``'ignore'`` (−1), ``'positive'`` (1) or ``'negative'`` (0).
        with_boxes: Whether to add ``instances``: a dict for each object with ``bbox`` [x1, y1, x2, y2] in pixels
            counted from 0, with the right and lower edges outside, ``bbox_label`` and ``ignore_flag`` (1 for difficult
            objects).
        **kwargs: Options of mmpretrain's ``VOC``: ``image_set_path``, ``data_prefix``, ``metainfo``, ``pipeline`` …

    Raises:
        FileNotFoundError: A part of the layout is missing. The message shows all of it.
        ValueError: An option, a list or an annotation is invalid. The message names file and value.

    Examples:
        >>> import pathlib, tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = pathlib.Path(folder)
        ...     for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        ...         (root / name).mkdir(parents=True)
        ...     _ = (root / 'ImageSets/Main/test.txt').write_text('000001')
        ...     box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
        ...     dog = f'<object><name>dog</name><difficult>1</difficult>{box}</object>'
        ...     _ = (root / 'Annotations/000001.xml').write_text(f'<annotation>{dog}</annotation>')
        ...     data = DATASETS.build(dict(type='mlic_mm.VOCMultiLabel', data_root=folder, split='test'))
        >>> data.get_data_info(0)['gt_score'][data.metainfo['classes'].index('dog')].item()  # ignored
        -1.0
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
        split: Literal['train', 'val', 'trainval', 'test'] = 'trainval',
        difficult: Literal['ignore', 'positive', 'negative'] = 'ignore',
        with_boxes: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, ('train', 'val', 'trainval', 'test'))
        check_choice('difficult', difficult, ('ignore', 'positive', 'negative'))
        self.difficult = difficult
        self.with_boxes = with_boxes
        self._own: Counter[str] | None = None
        super().__init__(data_root=os.path.expanduser(data_root), split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Parse the image list and each annotation once."""
        known = VOC.METAINFO['classes']
        asked = unique_classes(self._metainfo['classes'], 'metainfo')
        self._metainfo['classes'] = asked
        # Objects of VOC classes that were not asked for map to None; other names are errors.
        label_of: dict[str, int | None] = self.class_to_idx
        if set(asked) <= set(known):
            label_of = dict.fromkeys(known) | label_of
        else:
            self._own = Counter()
        for path in (self.image_set_path, self.ann_prefix, self.img_prefix):
            self.require(path)
        data_list = [self._parse(name, label_of) for name in self._image_names()]
        if self._own is not None:
            self._check_own(asked, data_list, self._own)
        return data_list

    def _check_own(self, asked: Sequence[str], data_list: list[dict], others: Counter[str]) -> None:
        """Refuse misspelt classes, and name the objects that are left out."""
        seen = {asked[label] for info in data_list for key in ('gt_label', 'gt_label_difficult') for label in info[key]}
        voc = VOC.METAINFO['classes']
        foreign = not seen <= set(voc)  # else these are images of VOC
        for label, name in enumerate(asked):
            known = list(others) if foreign else [*voc, *others]
            if name in seen or name in voc:
                continue
            if not foreign or difflib.get_close_matches(name, known, cutoff=0.75):
                raise ValueError(
                    f"metainfo['classes'][{label}] = {name!r} is not a label of VOC, and no object in "
                    f'{self.ann_prefix} has this name{did_you_mean(name, known)}'
                )
        if others:
            named = ', '.join(f'{name} ({number})' for name, number in others.most_common(5))
            message = f'{self.ann_prefix}: {others.total()} objects of no class in metainfo are left out: {named}'
            print_log(message + (' …' if len(others) > 5 else ''), 'current', level=30)

    def _image_names(self) -> list[str]:
        names: dict[str, int] = {}
        with open(self.image_set_path, 'rb') as file:
            lines = decode_utf8(file.read(), self.image_set_path).splitlines()
        for number, line in enumerate(lines, 1):
            name = line.strip()
            if not name:
                continue
            if len(name.split()) > 1:
                raise ValueError(
                    f'{self.image_set_path}:{number}: {name[:80]!r} is not one image name; use the list of a split, '
                    'not of a class'
                )
            if name in names:
                raise ValueError(f'{self.image_set_path}:{number}: {name[:80]!r} is already on line {names[name]}')
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
        except (LookupError, ValueError) as error:
            raise ValueError(f'{path}: its encoding cannot be read ({error}); save it as UTF-8') from None
        if root.tag != 'annotation':
            raise ValueError(
                f'{path}: its root is <{root.tag[:80]}>, that of VOC is <annotation>; restore or rewrite the file'
            )
        sure: set[int] = set()
        difficult: set[int] = set()
        instances = []
        for element in root.findall('object'):
            kind = (element.findtext('name') or '').strip()
            if kind not in label_of and self._own is None:
                raise ValueError(
                    f'{path}: unknown label {kind[:80]!r}; VOC has {", ".join(label_of)}. Name classes of your own in '
                    "metainfo['classes']"
                )
            try:
                hard = _flag(element.findtext('difficult', '0'))  # a few objects of 2012 have no such tag
                box = _box([element.findtext(f'bndbox/{k}', '') for k in ('xmin', 'ymin', 'xmax', 'ymax')])
            except ValueError as error:
                raise ValueError(f'{path}: an object is malformed ({error}); correct it or restore the file') from None
            if self._own is not None and kind not in label_of:
                self._own[kind] += 1
                continue
            label = label_of[kind]
            if label is None:
                continue
            (difficult if hard else sure).add(label)
            instances.append(dict(bbox=box, bbox_label=label, ignore_flag=hard))
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


def _flag(text: str) -> int:
    if text.strip() not in ('0', '1'):
        raise ValueError(f'difficult is {text[:80]!r}, expected 0 or 1')
    return int(text)


def _box(edges: list[str]) -> list[float]:
    """Return [x1, y1, x2, y2] counted from 0, with the right and lower edges outside.

    VOC counts from 1, and its edges are inside.
    """
    x1, y1, x2, y2 = (float(edge) for edge in edges)
    if not (-MOST_PIXELS <= x1 <= x2 <= MOST_PIXELS and -MOST_PIXELS <= y1 <= y2 <= MOST_PIXELS):
        raise ValueError(f'the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) is inverted or not in a photograph')
    return [x1 - 1, y1 - 1, x2, y2]
