"""Objects go with the image through a pipeline, and what would leave them behind is refused."""

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mlic_mm.datasets import COCOMultiLabel, VOCMultiLabel
from mlic_mm.datasets.transforms import PackBoxes

H, W = 60, 100
WHITE = [10, 20, 40, 50]
LOAD = dict(type='mlic_mm.LoadImage')
BOXES = dict(type='LoadAnnotations')
PACK = dict(type='mlic_mm.PackBoxes')
FLIPS = ('horizontal', 'vertical', 'diagonal')


def instance(box: list, label: int = 0, ignore: int = 0) -> dict:
    return dict(bbox=box, bbox_label=label, ignore_flag=ignore)


@pytest.fixture(scope='module')
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Black, but for one white box."""
    picture = np.zeros((H, W, 3), np.uint8)
    picture[20:50, 10:40] = 255
    path = tmp_path_factory.mktemp('image') / 'a.png'
    cv2.imwrite(str(path), picture)
    return str(path)


def run(image: str, *steps: dict, instances: list[dict] | None = None, **extra: Any) -> dict:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(list(steps))
    sample = dict(img_path=image, img_id='a', **extra)
    return pipeline(sample if instances is None else sample | dict(instances=instances))


def test_objects_worked_by_hand(image: str) -> None:
    """Half as large and flipped; one ignored, one beyond the edge, three without area, one of them NaN."""
    instances = [
        instance(WHITE, 3),
        instance([50, 0, 100, 30], 1, ignore=1),
        instance([80, 40, 140, 90], 2),
        instance([30, 30, 30, 50], 4),
        instance([110, 0, 120, 10], 5),
        instance([float('nan'), 0, 20, 10], 6),
    ]
    steps = [LOAD, BOXES, dict(type='Resize', scale=(50, 30)), dict(type='RandomFlip', prob=1.0), PACK]
    packed = run(image, *steps, instances=instances, gt_label=[3], gt_score=np.array([0, 0, 0, 1], np.float32))
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 30, 50)
    assert sample.gt_instances.bboxes.tolist() == [[30, 10, 45, 25], [0, 20, 10, 30]]
    assert sample.gt_instances.labels.tolist() == [3, 2]
    assert sample.ignored_instances.bboxes.tolist() == [[0, 0, 25, 15]]
    assert sample.ignored_instances.labels.tolist() == [1]
    assert sample.gt_instances.bboxes.dtype == torch.float32
    assert sample.gt_instances.labels.dtype == torch.int64
    # The data set's own labels stay, and what mmdet's metrics read is there.
    assert sample.gt_label.tolist() == [3]
    assert sample.gt_score.tolist() == [0, 0, 0, 1]
    assert (sample.img_id, sample.ori_shape, sample.img_shape) == ('a', (H, W), (30, 50))
    assert [o['bbox_label'] for o in sample.instances] == [3, 1, 2, 4, 5, 6]


def test_testing_keeps_the_boxes_of_the_file(image: str) -> None:
    instances = [instance(WHITE, 3), instance([50, 0, 100, 30], 1, ignore=1)]
    for step in (dict(type='Resize', scale=(50, 30)), dict(type='ResizeEdge', scale=20), dict(type='mlic_mm.CropBox')):
        sample = run(image, LOAD, step, PACK, instances=instances, box=[0, 0, 30, 30])['data_samples']
        assert sample.gt_instances.bboxes.tolist() == [WHITE]
        assert sample.ignored_instances.bboxes.tolist() == [[50, 0, 100, 30]]


@pytest.mark.parametrize('steps', [[LOAD, PACK], [LOAD, BOXES, PACK]])
def test_images_without_objects_have_empty_ones(image: str, steps: list[dict]) -> None:
    for instances, ignored in (([], 0), ([instance(WHITE, ignore=1)], 1)):
        sample = run(image, *steps, instances=instances)['data_samples']
        assert sample.gt_instances.bboxes.shape == (0, 4)
        assert sample.gt_instances.labels.shape == (0,)
        assert sample.gt_instances.labels.dtype == torch.int64
        assert sample.ignored_instances.bboxes.shape == (ignored, 4)


@pytest.mark.parametrize(
    'steps',
    [
        [dict(type='Resize', scale=(200, 240))],
        [dict(type='Resize', scale=(77, 1000), keep_ratio=True), dict(type='Resize', scale=(90, 90))],
        [dict(type='RandomFlip', prob=1.0, direction='diagonal'), dict(type='Resize', scale=(300, 150))],
        [dict(type='RandomChoiceResize', scales=[(80, 80), (160, 100)]), dict(type='RandomFlip', prob=0.5)],
        [dict(type='Resize', scale=(200, 120)), dict(type='CenterCrop', crop_size=(161, 101))],
        [dict(type='CenterCrop', crop_size=(85, 51)), dict(type='Resize', scale=(200, 200)), dict(type='RandomFlip')],
    ],
)
def test_resizing_flipping_and_central_crops_move_objects_with_the_image(image: str, steps: list[dict]) -> None:
    steps = [step | dict(prob=0.5) if step == dict(type='RandomFlip') else step for step in steps]
    packed = run(image, LOAD, BOXES, *steps, PACK, instances=[instance(WHITE), instance([0, 0, W, H], 1)])
    rows, columns = np.nonzero(packed['inputs'][0].numpy() > 127)
    white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    boxes = packed['data_samples'].gt_instances.bboxes
    np.testing.assert_allclose(boxes[0], white, atol=max(packed['inputs'].shape) / 50)
    height, width = packed['inputs'].shape[1:]
    np.testing.assert_allclose(boxes[1], [0, 0, width, height], atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_resized_and_flipped_as_arithmetic_says(image: str, data: st.DataObject) -> None:
    """Any sizes and flips: fractions of the sides stay what they were, or one less them."""
    corner = st.tuples(st.integers(-20, W + 20), st.integers(-20, H + 20))
    boxes = [
        [min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])]
        for a, b in data.draw(st.lists(st.tuples(corner, corner), max_size=5))
    ]
    flags = data.draw(st.lists(st.integers(0, 1), min_size=len(boxes), max_size=len(boxes)))
    width, height = data.draw(st.tuples(st.integers(8, 300), st.integers(8, 300)))
    flips = data.draw(st.lists(st.sampled_from(FLIPS), max_size=3))
    steps = [dict(type='RandomFlip', prob=1.0, direction=direction) for direction in flips]
    steps.insert(data.draw(st.integers(0, len(steps))), dict(type='Resize', scale=(width, height)))
    instances = [instance(box, label, flag) for label, (box, flag) in enumerate(zip(boxes, flags, strict=True))]
    sample = run(image, LOAD, BOXES, *steps, PACK, instances=instances)['data_samples']

    across = sum(d in ('horizontal', 'diagonal') for d in flips) % 2
    down = sum(d in ('vertical', 'diagonal') for d in flips) % 2
    for field, ignored in (('gt_instances', 0), ('ignored_instances', 1)):
        expected = []
        for label, ((x1, y1, x2, y2), flag) in enumerate(zip(boxes, flags, strict=True)):
            x = sorted(abs(across - min(max(v / W, 0), 1)) * width for v in (x1, x2))
            y = sorted(abs(down - min(max(v / H, 0), 1)) * height for v in (y1, y2))
            if flag == ignored and x[0] < x[1] and y[0] < y[1]:
                expected.append([x[0], y[0], x[1], y[1], label])
        found = sample.get(field)
        np.testing.assert_allclose(
            torch.cat([found.bboxes, found.labels[:, None]], 1), np.array(expected).reshape(-1, 5), atol=1e-3
        )


@pytest.mark.parametrize(
    'steps',
    [
        [LOAD, BOXES, dict(type='RandomResizedCrop', scale=48)],
        [LOAD, BOXES, dict(type='Resize', scale=(120, 120)), dict(type='RandomResizedCrop', scale=48)],
        [LOAD, BOXES, dict(type='RandomResizedCrop', scale=48), dict(type='Resize', scale=(80, 80))],
        [LOAD, BOXES, dict(type='ResizeEdge', scale=48), dict(type='RandomFlip', prob=0.5)],
        [LOAD, BOXES, dict(type='RandomCrop', crop_size=32)],
        [LOAD, BOXES, dict(type='mlic_mm.CropBox')],
        [LOAD, BOXES, dict(type='Pad', size=(160, 160))],
        [dict(type='mlic_mm.LoadImage', short_side=31), BOXES, dict(type='Resize', scale=(80, 80))],
        [LOAD, dict(type='Resize', scale=(80, 80)), BOXES],
    ],
)
def test_boxes_that_were_left_behind_are_refused(image: str, steps: list[dict]) -> None:
    with pytest.raises(
        ValueError, match=r"(?s)'a' has boxes that are not where .* moves the image without its gt_bboxes\. "
    ):
        run(image, *steps, PACK, instances=[instance(WHITE)], box=[0, 0, 30, 30])


@pytest.mark.parametrize('kind', ['voc', 'coco'])
def test_photographs(kind: str, data_root: Path) -> None:
    """Every object of the annotations, at the same fractions of the sides; random crops are noticed in each image."""

    def build(*steps: dict) -> Any:
        options: dict = dict(with_boxes=True, indices=30)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            if kind == 'voc':
                return VOCMultiLabel(str(data_root / 'VOCdevkit/VOC2007'), 'trainval', pipeline=steps, **options)
            return COCOMultiLabel(
                'annotations/instances_train2017.json',
                str(data_root / 'coco_mini'),
                'train2017',
                pipeline=steps,
                **options,
            )

    train = build(LOAD, BOXES, dict(type='Resize', scale=(224, 112)), PACK)
    test = build(LOAD, dict(type='Resize', scale=(64, 64)), PACK)
    cropped = build(LOAD, BOXES, dict(type='RandomResizedCrop', scale=224), PACK)
    seen = 0
    for i in range(len(train)):
        found, kept = train[i]['data_samples'], test[i]['data_samples']
        height, width = kept.ori_shape
        for field in ('gt_instances', 'ignored_instances'):
            scale = torch.tensor([224 / width, 112 / height, 224 / width, 112 / height])
            torch.testing.assert_close(found.get(field).bboxes, kept.get(field).bboxes * scale, atol=1e-3, rtol=0)
            assert found.get(field).labels.tolist() == kept.get(field).labels.tolist()
        assert set(found.gt_instances.labels.tolist()) <= set(found.gt_label.tolist())
        if len(kept.instances):
            seen += len(kept.instances)
            with pytest.raises(ValueError, match='moves the image without'):
                cropped[i]
    assert seen > 60


def test_image_labels_come_from_objects_where_there_are_no_others(image: str) -> None:
    instances = [instance(WHITE, 3), instance(WHITE, 1, 1), instance([0, 0, 9, 9], 3, 1), instance(WHITE, 0)]
    for steps in ([LOAD, BOXES], [LOAD]):
        sample = run(image, *steps, PACK, instances=instances)['data_samples']
        assert sample.gt_label.tolist() == [0, 3]
        assert 'gt_score' not in sample
        sample = run(image, *steps, PACK | dict(num_classes=5), instances=instances)['data_samples']
        assert sample.gt_label.tolist() == [0, 3]
        assert sample.gt_score.tolist() == [1, -1, 0, 1, 0]
    sample = run(image, LOAD, PACK | dict(num_classes=5), instances=[])['data_samples']
    assert sample.gt_label.tolist() == []
    assert sample.gt_score.tolist() == [0] * 5
    # An object that a crop has cut away is no label of what is left.
    crop = dict(type='CenterCrop', crop_size=(20, 60))
    packed = run(image, LOAD, BOXES, crop, PACK, instances=[instance(WHITE, 3), instance([45, 0, 50, 60], 2)])
    assert packed['data_samples'].gt_label.tolist() == [2]


def test_an_image_alone(image: str) -> None:
    """As an inferencer packs it."""
    packed = run(image, LOAD, PACK)
    assert 'gt_instances' not in packed['data_samples']
    assert packed['inputs'].dim() == 3


def test_bad_options_and_samples(image: str) -> None:
    with pytest.raises(ValueError, match='num_classes=0 must be a whole number at least 1'):
        PackBoxes(num_classes=0)
    with pytest.raises(ValueError, match=r'has labels \[7\], but num_classes=7'):
        run(image, LOAD, PACK | dict(num_classes=7), instances=[instance(WHITE, 7)])
    boxes = dict(gt_bboxes=np.zeros((2, 4), np.float32), gt_bboxes_labels=np.zeros(2, np.int64))
    with pytest.raises(ValueError, match='2 gt_bboxes, 2 gt_bboxes_labels and 1 ignore flags'):
        run(image, LOAD, PACK, instances=[instance(WHITE)], **boxes)
    with pytest.raises(ValueError, match='2 gt_bboxes, 0 gt_bboxes_labels and 1 ignore flags'):
        run(image, LOAD, PACK, instances=[instance(WHITE)], gt_bboxes=boxes['gt_bboxes'])
    sample = run(image, LOAD, PACK, gt_ignore_flags=np.array([0, 1]), **boxes)['data_samples']
    assert sample.gt_instances.labels.shape == (0,)  # without area
    assert 'num_classes=3' in repr(pickle.loads(pickle.dumps(PackBoxes(num_classes=3))))


def test_boxes_that_were_not_asked_for(data_root: Path) -> None:
    with (
        DefaultScope.overwrite_default_scope('mmpretrain'),
        pytest.raises(ValueError, match=r'the pipeline has LoadAnnotations.*set with_boxes=True'),
    ):
        VOCMultiLabel(data_root=str(data_root / 'VOCdevkit/VOC2007'), split='test', pipeline=[LOAD, BOXES, PACK])


@pytest.mark.integration
def test_batches_of_loader_workers(data_root: Path) -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = VOCMultiLabel(
            str(data_root / 'VOCdevkit/VOC2007'), with_boxes=True, indices=4, pipeline=[LOAD, BOXES, PACK]
        )
    for batch in DataLoader(data, 2, num_workers=1, collate_fn=pseudo_collate):
        assert all(len(sample.gt_instances.bboxes) for sample in batch['data_samples'])
