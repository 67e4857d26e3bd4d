"""COCO's format: labels worked by hand, every way in which a JSON can be wrong, and real annotations."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlic_mm.datasets import COCOMultiLabel


def annotations() -> dict:
    """Three images: a dog and a crowd of cats, nothing, an eel twice. Ids are neither dense nor in file order."""
    return dict(
        images=[
            dict(id=7, file_name='a.png', width=20, height=10),
            dict(id=3, file_name='b ü.png', width=20, height=10),
            dict(id=9, file_name='c.png', width=20, height=10),
        ],
        annotations=[
            dict(id=1, image_id=7, category_id=2, bbox=[1, 2, 3, 4], area=12, iscrowd=0),
            dict(id=2, image_id=7, category_id=5, bbox=[-5, 0, 10, 99], area=12, iscrowd=1),
            dict(id=3, image_id=9, category_id=90, bbox=[0, 0, 0, 5], area=0, iscrowd=0),
            dict(id=4, image_id=9, category_id=90, bbox=[2, 2, 2, 2], area=4, iscrowd=0),
        ],
        categories=[dict(id=90, name='eel'), dict(id=2, name='dog'), dict(id=5, name='cat')],
    )


def build(folder: Path, content: object = None, **options: object) -> COCOMultiLabel:
    raw = content if isinstance(content, bytes) else json.dumps(annotations() if content is None else content).encode()
    (folder / 'ann').mkdir(exist_ok=True)
    (folder / 'ann' / 'x.json').write_bytes(raw)
    (folder / 'img').mkdir(exist_ok=True)
    for name in ('a.png', 'b ü.png', 'c.png'):
        Image.new('RGB', (20, 10)).save(folder / 'img' / name)
    return COCOMultiLabel('ann/x.json', data_root=str(folder), data_prefix='img', **options)


def test_samples_worked_by_hand(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    assert dataset.metainfo['classes'] == ('dog', 'cat', 'eel')
    np.testing.assert_array_equal(dataset.targets(), [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    sample = dataset[0]
    assert sample['img_id'] == '000000000007'
    assert sample['img_path'] == str(tmp_path / 'img' / 'a.png')
    assert sample['gt_label'] == dataset.get_cat_ids(0) == [0, 1]
    assert sample['gt_score'].dtype == np.float32
    assert 'instances' not in sample


def test_images_without_labels_can_be_dropped(tmp_path: Path) -> None:
    assert [build(tmp_path, drop_empty=True)[i]['img_id'] for i in range(2)] == ['000000000007', '000000000009']
    only_dogs = build(tmp_path, drop_empty=True, metainfo=dict(classes=['dog']))
    assert [only_dogs[i]['img_id'] for i in range(len(only_dogs))] == ['000000000007']


def test_class_order_and_subsets(tmp_path: Path) -> None:
    assert build(tmp_path, class_order='alphabetical').metainfo['classes'] == ('cat', 'dog', 'eel')
    dataset = build(tmp_path, metainfo=dict(classes=['eel', 'dog']))
    assert dataset.metainfo['classes'] == ('eel', 'dog')
    np.testing.assert_array_equal(dataset.targets(), [[0, 1], [0, 0], [1, 0]])
    (tmp_path / 'names.txt').write_text('eel\ncat\n')
    assert build(tmp_path, classes=str(tmp_path / 'names.txt')).metainfo['classes'] == ('eel', 'cat')


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        ({'metainfo': {'classes': ['dog', 'cta']}}, ValueError, r"classes'\]\[1\] = 'cta'.*did you mean 'cat'"),
        (
            {'metainfo': {'classes': ['dog', 'whale']}},
            ValueError,
            "'whale' is not a label .* choose from dog, cat, eel",
        ),
        ({'metainfo': {'classes': ['dog', 'cat', 'dog']}}, ValueError, r"'dog' appears twice \(index 0 and 2\)"),
        ({'metainfo': {'classes': []}}, ValueError, 'empty'),
        ({'metainfo': {'classes': 'dogs.txt'}}, TypeError, r'dogs\.txt'),
        ({'metainfo': {'classes': [1, 2]}}, TypeError, 'sequence of strings'),
        ({'class_order': 'size'}, ValueError, 'class_order'),
        ({'class_order': 'alphabetical', 'metainfo': {'classes': ['dog']}}, ValueError, 'must not be set beside'),
        ({'drop_empty': True, 'metainfo': {'classes': ['dog']}, 'ann': {'annotations': []}}, ValueError, 'no image'),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, error: type[Exception], message: str) -> None:
    content = {**annotations(), **options.pop('ann', {})}
    with pytest.raises(error, match=message):
        build(tmp_path, content, **options)


def test_boxes_are_clipped_and_crowds_marked(tmp_path: Path) -> None:
    dataset = build(tmp_path, with_boxes=True)
    assert dataset[0]['instances'] == [
        dict(bbox=[1, 2, 4, 6], bbox_label=0, ignore_flag=0),
        dict(bbox=[0, 0, 5, 10], bbox_label=1, ignore_flag=1),
    ]
    assert dataset[1]['instances'] == []
    assert dataset[2]['instances'] == [dict(bbox=[2, 2, 4, 4], bbox_label=2, ignore_flag=0)]


def broken(key: str, position: int, **changes: object) -> dict:
    content = annotations()
    for field, value in changes.items():
        if value is None:
            del content[key][position][field]
        else:
            content[key][position][field] = value
    return content


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'not valid JSON .*line 1'),
        (json.dumps(annotations()).encode()[:200], 'not valid JSON'),
        ('{"ü": 1}'.encode('latin-1'), 'not UTF-8 at byte 2'),
        (b'cposix\nsystem\n(S"touch hacked"\ntR.', 'not valid JSON'),
        ([1, 2], "no list 'images'"),
        ({'images': [], 'categories': []}, "no list 'annotations'.*instances"),
        (broken('annotations', 0, category_id=None), r'annotations\[0\].*category_id'),
        (broken('images', 1, file_name=None), r'images\[1\].*file_name'),
        (broken('annotations', 2, category_id=4), r'annotations\[2\] has category_id 4.*categories'),
        (broken('annotations', 1, image_id=1), r'annotations\[1\] has image_id 1.*images'),
        (broken('images', 1, id=7), 'two images have the id 7'),
        (broken('categories', 1, id=5), 'two categories have the id 5'),
        (broken('categories', 1, name='cat'), "class 'cat' appears twice"),
        (broken('categories', 1, name=' '), 'class 0 is blank'),
        (broken('images', 0, id=[7]), r'images\[0\] has id \[7\]; write a whole number or text'),
        (broken('images', 0, id=1.5), r'images\[0\] has id 1\.5; write'),
        (broken('images', 0, id=True), r'images\[0\] has id True; write'),
        (broken('categories', 0, id={'a': 1}), r"categories\[0\] has id \{'a': 1\}; write"),
        (broken('categories', 0, id='1'), 'some ids of categories are numbers and some are text'),
        (broken('categories', 0, name=7), r'categories\[0\] has name 7; write text'),
        (broken('annotations', 0, image_id=[1]), r'annotations\[0\] has image_id \[1\]'),
        (broken('images', 0, file_name=''), r"images\[0\] has file_name ''; write text"),
        (
            json.dumps(annotations()).replace('"file_name": "', '"file_name": null, "was": "', 1).encode(),
            'file_name None',
        ),
        (b'[' * 200_000, 'nested too deep'),
        (b'{"images": ' + b'[' * 200_000 + b']' * 200_000 + b'}', 'nested too deep'),
        (b'{"images": ' + b'9' * 5000 + b'}', 'no annotation in JSON .*limit'),
    ],
)
def test_wrong_json_names_file_and_place(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=rf'(?s)x\.json: .*{message}'):
        build(tmp_path, content)
    assert not Path('hacked').exists()


@pytest.mark.parametrize(
    'change', [dict(width=1e300), dict(height=0), dict(width='wide'), dict(height=float('nan')), dict(width=10**400)]
)
def test_wrong_size_of_an_image(tmp_path: Path, change: dict) -> None:
    with pytest.raises(ValueError, match=r'x\.json: annotation 1 has bbox .* in an image of'):
        build(tmp_path, broken('images', 0, **change), with_boxes=True)


@pytest.mark.parametrize(
    'box',
    [
        [1, 2, 3],
        'abc',
        [1, 2, None, 4],
        [1, 2, -3, 4],
        [1, 2, 3, -4],
        [1, 2, float('nan'), 4],
        [float('-inf'), 2, 3, 4],
        [1, 2, 1e300, 4],
    ],
)
def test_wrong_box(tmp_path: Path, box: object) -> None:
    content = broken('annotations', 0, bbox=box)
    assert len(build(tmp_path, content)) == 3  # not asked for, not looked at
    with pytest.raises(ValueError, match=r'x\.json: annotation 1 has bbox'):
        build(tmp_path, content, with_boxes=True)


def test_an_image_under_two_ids_has_one_set_of_labels(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"x\.json: images 7 and 3 are both '\./a\.png' and have different labels; merge"
    ):
        build(tmp_path, broken('images', 1, file_name='./a.png'))
    content = broken('images', 1, file_name='a.png')
    assert len(build(tmp_path, content, metainfo=dict(classes=['eel']))) == 3  # both have none


def test_missing_parts_show_the_layout(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r'(?s)instances_train2014\.json not found.*train2014.*cocodataset\.org'
    ):
        COCOMultiLabel('annotations/instances_train2014.json', data_root=str(tmp_path / 'coco'))
    build(tmp_path)
    with pytest.raises(FileNotFoundError, match='val2017 not found'):
        COCOMultiLabel('ann/x.json', data_root=str(tmp_path), data_prefix='val2017')


def test_real_annotations_equal_the_published_labels(data_root: Path) -> None:
    """The labels of the same photographs as the field's label list of COCO 2014 has them, crowds included."""
    table = data_root / 'coco2014_labels'
    names = [entry['name'] for entry in json.loads((table / 'categories_alphabetical.json').read_text())]
    with gzip.open(table / 'coco2014_multilabel.tsv.gz', 'rt') as file:
        next(file)
        rows = [line.rstrip('\n').split('\t') for line in file]
    published = {int(image_id): [int(label) for label in labels.split(',')] for _, image_id, labels in rows}
    checked = 0
    for split in ('train', 'val'):
        dataset = COCOMultiLabel(
            f'annotations/instances_{split}2017.json',
            data_root=str(data_root / 'coco_mini'),
            data_prefix=f'{split}2017',
            class_order='alphabetical',
        )
        assert list(dataset.metainfo['classes']) == names
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            if int(info['img_id']) in published:
                assert info['gt_label'] == published[int(info['img_id'])]
                checked += 1
    assert checked == 400
