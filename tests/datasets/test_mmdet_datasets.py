"""mmdet's data sets and pipelines give the same samples as ours, on the same files."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

LOAD = [dict(type='mlic_mm.LoadImage'), dict(type='LoadAnnotations')]
MOVE = [dict(type='Resize', scale=(224, 160)), dict(type='RandomFlip', prob=1.0)]
DETECTION_LOAD = [dict(type='mmdet.LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_bbox=True)]
DETECTION_MOVE = [
    dict(type='mmdet.Resize', scale=(224, 160), keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=1.0),
]

NEEDS_MMDET = pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
pytestmark = [pytest.mark.integration, NEEDS_MMDET]


def voc(data_root: Path, ours: bool) -> dict:
    if ours:
        return dict(
            type='mlic_mm.VOCMultiLabel',
            data_root=str(data_root / 'VOCdevkit/VOC2007'),
            split='test',
            with_boxes=True,
        )
    return dict(
        type='mmdet.VOCDataset',
        data_root=str(data_root / 'VOCdevkit'),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
    )


def coco(data_root: Path, ours: bool) -> dict:
    common = dict(ann_file='annotations/instances_train2017.json', data_root=str(data_root / 'coco_mini'))
    if ours:
        return common | dict(type='mlic_mm.COCOMultiLabel', data_prefix='train2017', with_boxes=True)
    return common | dict(type='mmdet.CocoDataset', data_prefix=dict(img='train2017/'))


def build(config: dict, *steps: dict, **pack: Any) -> Any:
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(config | dict(pipeline=[*steps, dict(type='mlic_mm.PackBoxes', **pack)]))


def assert_same_objects(one: Any, other: Any, shift: torch.Tensor | None = None) -> int:
    """Compare the objects of two data samples; ``shift`` is what the other's boxes lack."""
    for field in ('gt_instances', 'ignored_instances'):
        a, b = one.get(field), other.get(field)
        assert a.labels.tolist() == b.labels.tolist()
        assert a.labels.dtype == b.labels.dtype == torch.int64
        boxes = b.bboxes if shift is None else b.bboxes + shift
        torch.testing.assert_close(a.bboxes, boxes, atol=2e-3, rtol=0)
    return len(one.gt_instances.labels)


@pytest.mark.parametrize('steps', [(LOAD, MOVE), (DETECTION_LOAD, DETECTION_MOVE)], ids=['mmcv', 'mmdet'])
def test_voc(steps: tuple, data_root: Path) -> None:
    """mmdet's VOC counts the last pixel's near edge, ours its far edge: one pixel of the file more to the right."""
    ours = build(voc(data_root, True) | dict(indices=40), *LOAD, *MOVE)
    theirs = build(voc(data_root, False) | dict(indices=40), *steps[0], *steps[1], num_classes=20)
    assert tuple(c.replace(' ', '') for c in theirs.metainfo['classes']) == tuple(
        c.replace(' ', '') for c in ours.metainfo['classes']
    )
    seen = difficult = 0
    for i in range(40):
        one, other = ours[i], theirs[i]
        assert torch.equal(one['inputs'], other['inputs'])
        one, other = one['data_samples'], other['data_samples']
        height, width = one.ori_shape
        # Flipped, so that the right edge is the left one.
        shift = torch.tensor([-224 / width, 0, 0, 160 / height])
        seen += assert_same_objects(one, other, shift)
        difficult += len(one.ignored_instances.labels)
        assert one.gt_label.tolist() == other.gt_label.tolist()
        assert one.gt_score.tolist() == other.gt_score.tolist()
        assert one.img_id == other.img_id
    assert seen > 60
    assert difficult > 3


@pytest.mark.parametrize('steps', [(LOAD, MOVE), (DETECTION_LOAD, DETECTION_MOVE)], ids=['mmcv', 'mmdet'])
def test_coco(steps: tuple, data_root: Path) -> None:
    indices = [*range(30), 101, 121, 176, 196]  # the last ones have crowds
    ours = build(coco(data_root, True) | dict(indices=indices), *LOAD, *MOVE)
    theirs = build(coco(data_root, False) | dict(indices=indices), *steps[0], *steps[1], num_classes=80)
    seen = crowds = 0
    for i in range(len(indices)):
        one, other = ours[i]['data_samples'], theirs[i]['data_samples']
        seen += assert_same_objects(one, other)
        crowds += len(one.ignored_instances.labels)
        assert int(one.img_id) == other.img_id
        # Each crowd here has company of its label, or else ours would have 1 and mmdet's -1.
        assert other.gt_score.tolist() == one.gt_score.tolist()
        assert other.gt_label.tolist() == one.gt_label.tolist()
    assert seen > 200
    assert crowds == 5


@pytest.mark.parametrize('kind', [voc, coco])
def test_testing_pipelines_of_both_keep_the_boxes_of_the_file(kind: Any, data_root: Path) -> None:
    ours = build(kind(data_root, True) | dict(indices=8, test_mode=True), LOAD[0], MOVE[0])
    theirs = build(kind(data_root, False) | dict(indices=8, test_mode=True), DETECTION_LOAD[0], DETECTION_MOVE[0])
    shift = torch.tensor([0.0, 0, 1, 1]) if kind is voc else None
    assert sum(assert_same_objects(ours[i]['data_samples'], theirs[i]['data_samples'], shift) for i in range(8)) > 8


def test_crowds_empty_images_and_degenerate_boxes(tmp_path: Path) -> None:
    """A crowd beside an object, crowds alone, nothing, a box without area beside one beyond the edge."""
    boxes = [
        [(1, [2, 2, 10, 10], 0), (2, [0, 0, 20, 20], 1)],
        [(1, [2, 2, 10, 10], 1)],
        [],
        [(2, [5, 5, 0, 4], 0), (1, [30, 30, 20, 20], 0)],
    ]
    annotations = [
        dict(id=10 * i + j, image_id=i, category_id=c, bbox=box, area=box[2] * box[3], iscrowd=crowd)
        for i, objects in enumerate(boxes, 1)
        for j, (c, box, crowd) in enumerate(objects)
    ]
    images = [dict(id=i, file_name=f'{i}.png', width=40, height=40) for i in range(1, 5)]
    categories = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    (tmp_path / 'a.json').write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    for image in images:
        Image.new('RGB', (40, 40)).save(tmp_path / str(image['file_name']))
    common = dict(ann_file='a.json', data_root=str(tmp_path), metainfo=dict(classes=('cat', 'dog')))
    ours = build(common | dict(type='mlic_mm.COCOMultiLabel', with_boxes=True), *LOAD, *MOVE)
    for load, move in ((LOAD, MOVE), (DETECTION_LOAD, DETECTION_MOVE)):
        theirs = build(common | dict(type='mmdet.CocoDataset', data_prefix=dict(img='')), *load, *move, num_classes=2)
        samples = [(ours[i]['data_samples'], theirs[i]['data_samples']) for i in range(4)]
        assert [assert_same_objects(*pair) for pair in samples] == [1, 0, 0, 1]
        assert [pair[1].gt_score.tolist() for pair in samples] == [[1, -1], [-1, 0], [0, 0], [1, 0]]
        # In our data set crowds and objects without area are labels of the image.
        assert [pair[0].gt_score.tolist() for pair in samples] == [[1, 1], [1, 0], [0, 0], [1, 1]]
        assert [pair[1].ignored_instances.labels.tolist() for pair in samples] == [[1], [0], [], []]


def test_mmdets_own_crops_are_followed(data_root: Path) -> None:
    """Objects that a random crop of mmdet drops are gone with their labels, and nothing is refused."""
    crop = dict(type='mmdet.RandomCrop', crop_size=(0.5, 0.5), crop_type='relative', allow_negative_crop=True)
    data = build(
        coco(data_root, False) | dict(indices=20), *DETECTION_LOAD, crop, dict(type='mmdet.RandomFlip', prob=0.5)
    )
    fewer = 0
    for i in range(20):
        sample = data[i]['data_samples']
        assert sample.gt_label.tolist() == np.unique(sample.gt_instances.labels).tolist()
        fewer += len(sample.gt_instances.labels) < sum(not o['ignore_flag'] for o in sample.instances)
    assert fewer > 5


@pytest.mark.parametrize(
    'steps',
    [
        [*DETECTION_LOAD, dict(type='RandomResizedCrop', scale=200)],
        [DETECTION_LOAD[0], DETECTION_MOVE[0], DETECTION_LOAD[1]],
        [DETECTION_LOAD[0], dict(type='mmdet.RandomFlip', prob=1.0), DETECTION_LOAD[1]],
    ],
    ids=['crop', 'resized before', 'flipped before'],
)
def test_boxes_of_mmdet_that_have_not_moved_at_all_are_refused(steps: list[dict], data_root: Path) -> None:
    data = build(coco(data_root, False) | dict(indices=1), *steps)
    with pytest.raises(ValueError, match='moves the image without its gt_bboxes'):
        data[0]


def test_whole_images_stay_where_they_are_when_flipped(tmp_path: Path) -> None:
    """A box that flips onto itself has not been left behind."""
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.png')
    content = dict(
        images=[dict(id=1, file_name='a.png', width=40, height=30)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 40, 30], area=1200, iscrowd=0)],
        categories=[dict(id=1, name='cat')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    common = dict(ann_file='a.json', data_root=str(tmp_path), metainfo=dict(classes=('cat',)))
    data = build(common | dict(type='mmdet.CocoDataset', data_prefix=dict(img='')), *DETECTION_LOAD, DETECTION_MOVE[1])
    assert data[0]['data_samples'].gt_instances.bboxes.tolist() == [[0, 0, 40, 30]]
