"""VOC's layout: three readings of difficult labels, boxes, wrong files, and real annotations."""

import csv
from pathlib import Path

import numpy as np
import pytest
from dataset_helpers import Log
from mmpretrain.datasets import VOC
from PIL import Image

from mlic_mm.datasets import VOCMultiLabel

OBJECT = (
    '<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>'
)


def xml(*objects: tuple) -> str:
    """Objects (name, difficult or None for no tag, box)."""
    parts = []
    for name, difficult, box in objects:
        tag = '' if difficult is None else f'<difficult>{difficult}</difficult>'
        parts.append(OBJECT.format(name, tag, *box))
    return f'<annotation>{"".join(parts)}</annotation>'


BOX = (1, 1, 20, 10)
IMAGES = {
    '000001': xml(('dog', 0, (3, 2, 8, 9)), ('cat', 1, BOX), ('person', 1, BOX)),
    '000002': xml(('person', 1, BOX), ('person', 0, BOX)),
    '2008_3': xml(('bus', None, (1.5, 2.5, 3, 4))),
}
DOG, CAT, PERSON, BUS = (VOC.METAINFO['classes'].index(name) for name in ('dog', 'cat', 'person', 'bus'))


def write(root: Path, images: dict[str, str] = IMAGES, listing: str | None = None) -> Path:
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in images.items():
        (root / 'Annotations' / f'{name}.xml').write_text(content)
        Image.new('RGB', (20, 10)).save(root / 'JPEGImages' / f'{name}.jpg')
    (root / 'ImageSets/Main/trainval.txt').write_text('\n'.join(images) + '\n' if listing is None else listing)
    return root


@pytest.mark.parametrize(('difficult', 'value'), [('ignore', -1), ('positive', 1), ('negative', 0)])
def test_difficult_labels(tmp_path: Path, difficult: str, value: int) -> None:
    dataset = VOCMultiLabel(str(write(tmp_path)), difficult=difficult)
    expected = np.zeros((3, 20), int)
    expected[0, [DOG, CAT, PERSON]] = 1, value, value
    expected[1, PERSON] = 1  # one of its two persons is not difficult
    expected[2, BUS] = 1
    np.testing.assert_array_equal(dataset.targets(), expected)
    sample = dataset[0]
    assert sample['gt_label'] == [i for i in range(20) if expected[0, i] == 1]
    assert sample['gt_label_difficult'] == [CAT, PERSON]
    assert sample['img_id'] == '000001'
    assert sample['gt_score'].dtype == np.float32


def test_boxes_count_pixels_from_zero(tmp_path: Path) -> None:
    dataset = VOCMultiLabel(str(write(tmp_path)), with_boxes=True)
    assert dataset[0]['instances'][0] == dict(bbox=[2, 1, 8, 9], bbox_label=DOG, ignore_flag=0)
    assert dataset[0]['instances'][1] == dict(bbox=[0, 0, 20, 10], bbox_label=CAT, ignore_flag=1)
    assert 'instances' not in VOCMultiLabel(str(tmp_path))[0]


def test_subset_and_order_of_classes(tmp_path: Path) -> None:
    dataset = VOCMultiLabel(str(write(tmp_path)), metainfo=dict(classes=['person', 'dog']))
    np.testing.assert_array_equal(dataset.targets(), [[-1, 1], [1, 0], [0, 0]])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'metainfo': {'classes': ['dog', 'car', 'tv monitor']}}, r"\[2\] = 'tv monitor'.*did you mean 'tvmonitor'"),
        ({'metainfo': {'classes': ['dog', 'dog']}}, "'dog' appears twice"),
        ({'difficult': 'drop'}, "difficult='drop'"),
        ({'split': 'trainvaltest'}, "split='trainvaltest'"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VOCMultiLabel(str(write(tmp_path)), **options)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'not valid XML'),
        (IMAGES['000001'][:80], 'not valid XML'),
        (xml(('unicorn', 0, BOX)), "unknown label 'unicorn'"),
        (xml(('dog', 'maybe', BOX)), 'malformed'),
        (xml(('dog', 0, ('', 1, 1, 1))), 'malformed'),
        (xml(('dog', 2, BOX)), r"malformed \(difficult is '2', expected 0 or 1\)"),
        (xml(('dog', 0, (9, 1, 3, 5))), r'malformed \(the box from \(9, 1\) to \(3, 5\) is inverted'),
        (xml(('dog', 0, (1, 9, 3, 5))), 'is inverted'),
        (xml(('dog', 0, (1, 1, 'nan', 5))), 'is inverted or not in a photograph'),
        (xml(('dog', 0, (1, 1, 1e300, 5))), 'not in a photograph'),
        ('<?xml version="1.0" encoding="klingon"?>' + xml(('dog', 0, BOX)), 'encoding cannot be read.*as UTF-8'),
        ('<?xml version="1.0" encoding="utf-7"?>' + xml(('dog', 0, BOX)), 'encoding cannot be read'),
        (xml(('', 0, BOX)), "unknown label ''"),
        ('<html><object/></html>', 'its root is <html>, that of VOC is <annotation>; restore'),
        ('<annotations/>', 'its root is <annotations>'),
    ],
)
def test_wrong_annotation_names_the_file(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf'Annotations/000009\.xml: .*{message}'):
        VOCMultiLabel(str(write(tmp_path, {**IMAGES, '000009': content})))


@pytest.mark.parametrize(
    ('listing', 'message'),
    [
        ('', 'lists no image'),
        ('000001\n\n000001\n', r"trainval\.txt:3: '000001' is already on line 1"),
        ('000001  1\n000002 -1\n', r"trainval\.txt:1: '000001  1' is not one image name"),
    ],
)
def test_wrong_list(tmp_path: Path, listing: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VOCMultiLabel(str(write(tmp_path, listing=listing)))


def test_list_in_another_encoding(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / 'ImageSets/Main/trainval.txt').write_bytes('000001\nü\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'trainval\.txt:2: byte 0xfc is not UTF-8; save'):
        VOCMultiLabel(str(root))
    (root / 'ImageSets/Main/trainval.txt').write_bytes('\ufeff000001\n'.encode())
    assert len(VOCMultiLabel(str(root))) == 1


OWN = {
    'a': xml(('wheel', 0, BOX), ('dog', 1, BOX)),
    'b': xml(('saddle', 1, BOX), ('bell', 0, BOX), ('bell', 0, BOX)),
    'c': xml(('bell', 0, BOX)),
}


def test_classes_of_ones_own(tmp_path: Path) -> None:
    root = str(write(tmp_path, OWN))
    dataset = VOCMultiLabel(root, metainfo=dict(classes=['wheel', 'saddle', 'dog', 'pedal']), with_boxes=True)
    with Log() as messages:
        assert len(VOCMultiLabel(root, metainfo=dict(classes=['wheel', 'saddle', 'dog', 'pedal']))) == 3
    np.testing.assert_array_equal(dataset.targets(), [[1, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 0]])
    assert [one['bbox_label'] for one in dataset[0]['instances']] == [0, 2]
    assert any('3 objects of no class in metainfo are left out: bell (3)' in text for text in messages)
    assert (
        VOCMultiLabel(root, metainfo=dict(classes=['bell', 'wheel', 'saddle', 'dog'])).metainfo['classes'][0] == 'bell'
    )
    with pytest.raises(ValueError, match=r"\[1\] = 'saddel' is not a label .* has this name; did you mean 'saddle'"):
        VOCMultiLabel(root, metainfo=dict(classes=['wheel', 'saddel']))
    with pytest.raises(ValueError, match=r"\[0\] = 'fork' is not a label of VOC, and no object"):
        VOCMultiLabel(root, metainfo=dict(classes=['fork', 'dog']))
    with pytest.raises(ValueError, match=r"unknown label 'wheel'; VOC has .*metainfo\['classes'\]"):
        VOCMultiLabel(root)


def test_missing_parts_show_the_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'(?s)test\.txt not found.*JPEGImages.*host\.robots\.ox\.ac\.uk'):
        VOCMultiLabel(str(write(tmp_path)), split='test')
    (tmp_path / 'Annotations/000002.xml').unlink()
    with pytest.raises(FileNotFoundError, match=r'000002\.xml not found'):
        VOCMultiLabel(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='VOC_ROOT'):
        VOCMultiLabel(str(tmp_path / 'nowhere'))


def test_real_annotations_equal_the_published_table(data_root: Path) -> None:
    with open(data_root / 'voc2007_labels' / 'classification_test.csv', newline='') as file:
        table = {row.pop('name'): [int(value) for value in row.values()] for row in csv.DictReader(file)}
    root = data_root / 'VOCdevkit' / 'VOC2007'
    for split in ('trainval', 'test'):
        dataset = VOCMultiLabel(str(root), split=split, difficult='ignore')
        # The table says 1 present, 0 difficult only, −1 absent.
        expected = [
            [{1: 1, 0: -1, -1: 0}[v] for v in table[dataset.get_data_info(i)['img_id']]] for i in range(len(dataset))
        ]
        np.testing.assert_array_equal(dataset.targets(), expected)


def test_agrees_with_mmpretrain_on_real_annotations(data_root: Path) -> None:
    root = str(data_root / 'VOCdevkit' / 'VOC2007')
    ours, theirs = (cls(root, split='test', indices=100) for cls in (VOCMultiLabel, VOC))
    for i in range(100):
        a, b = ours.get_data_info(i), theirs.get_data_info(i)
        assert a['img_path'] == b['img_path']
        assert a['gt_label'] == sorted(b['gt_label'])
        assert a['gt_label_difficult'] == sorted(set(b['gt_label_difficult']) - set(b['gt_label']))
