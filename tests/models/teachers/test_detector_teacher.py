"""A detector of mmdet as teacher: a small Faster R-CNN with random weights."""

import copy
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.teachers import Teacher
from mlic_mm.models.teachers.detector_teacher import DetectorTeacher

CLASSES = ('cat', 'dog', 'cow')
ANCHORS = dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])
CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4)
NMS = dict(type='nms', iou_threshold=0.7)
MODEL = dict(
    type='FasterRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.0, 116.0, 103.0], std=[58.0] * 3, bgr_to_rgb=True, pad_size_divisor=32
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
    rpn_head=dict(type='RPNHead', in_channels=16, feat_channels=16, anchor_generator=ANCHORS, bbox_coder=CODER),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=16,
            fc_out_channels=32,
            roi_feat_size=7,
            num_classes=3,
            bbox_coder=CODER,
        ),
    ),
    train_cfg=None,
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=60, nms=NMS, min_bbox_size=0),
        rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=40),
    ),
)


@pytest.fixture
def model() -> dict:
    if find_spec('mmdet') is None or find_spec('mmcv._ext') is None:
        pytest.skip("no mmdet with mmcv's compiled ops: make test installs them")
    return copy.deepcopy(MODEL)


def build(model: Any, **options: Any) -> DetectorTeacher:
    torch.manual_seed(0)
    return MODELS.build(dict(type='mlic_mm.DetectorTeacher', detector=model, **options))


@pytest.fixture
def raw(data_root: Path) -> Tensor:
    """Two photographs as BGR, 160 × 224."""
    folder = data_root / 'VOCdevkit/VOC2007/JPEGImages'
    images = [cv2.resize(cv2.imread(str(folder / f'{name}.jpg')), (224, 160)) for name in ('000001', '000002')]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def detect(teacher: DetectorTeacher, image: Tensor) -> Any:
    """mmdet's own way: an image of its data loader through ``test_step``."""
    from mmdet.structures import DetDataSample

    meta = dict(img_shape=(160, 224), ori_shape=(160, 224), scale_factor=(1.0, 1.0))
    with DefaultScope.overwrite_default_scope('mmdet'), torch.no_grad():
        batch = dict(inputs=[image.byte()], data_samples=[DetDataSample(metainfo=meta)])
        return teacher.detector.test_step(batch)[0].pred_instances


@torch.no_grad()
def test_shows_what_the_detector_finds(model: dict, raw: Tensor) -> None:
    teacher = build(model, classes=CLASSES)
    shown = teacher.teach(raw)
    assert shown.logits.shape == (2, 3)
    for i, image in enumerate(raw):
        found = detect(teacher, image)
        assert len(found.scores) == len(shown.box_scores[i]) > 0
        torch.testing.assert_close(shown.box_scores[i], found.scores, atol=1e-5, rtol=0)
        pixels = shown.boxes[i] * torch.tensor([224.0, 160, 224, 160])
        torch.testing.assert_close(pixels, found.bboxes, atol=0.01, rtol=0)
        for label in range(3):
            mine = found.scores[found.labels == label].tolist()
            best = max(mine, default=0)
            assert shown.logits[i, label].sigmoid() == pytest.approx(max(best, 1e-3), abs=1e-4)
    # The backbone's last map, at stride 32.
    assert {name: tuple(maps.shape) for name, maps in shown.maps.items()} == {'': (2, 64, 5, 7)}


@torch.no_grad()
def test_images_that_mmdet_would_pad_are_stretched(model: dict, raw: Tensor) -> None:
    """Fractions of the image are then those of the map, which the losses take them for."""
    teacher = build(model, classes=CLASSES)
    odd = F.interpolate(raw, (150, 200), mode='bilinear')
    shown = teacher.teach(odd)
    assert shown.maps[''].shape == (2, 64, 5, 7)
    same = teacher.teach(F.interpolate(odd, (160, 224), mode='bilinear'))
    torch.testing.assert_close(shown.boxes[0], same.boxes[0])
    assert max(boxes.max() for boxes in shown.boxes) > 0.9


@torch.no_grad()
def test_labels_without_detections_and_images_without_any(model: dict, raw: Tensor) -> None:
    model['test_cfg']['rcnn']['score_thr'] = 0.999
    shown = build(model, classes=CLASSES, eps=0.01).teach(raw)
    assert [tuple(boxes.shape) for boxes in shown.boxes] == [(0, 4)] * 2
    assert [tuple(scores.shape) for scores in shown.box_scores] == [(0,)] * 2
    torch.testing.assert_close(shown.logits.sigmoid(), torch.full((2, 3), 0.01))


def test_teaches(model: dict, raw: Tensor) -> None:
    teacher = Teacher(model=build(model, classes=CLASSES), layers=('',), num_regions=7)
    assert teacher.classes == CLASSES
    shown = teacher(raw, [DataSample(), DataSample()])
    assert not shown.logits.requires_grad
    assert not teacher.model.training
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    for boxes, scores in zip(shown.boxes, shown.box_scores, strict=True):
        assert boxes.shape == (7, 4)
        assert 0 <= boxes.min() <= boxes.max() <= 1
        assert scores.shape == (7,)
    again = teacher(raw, [DataSample(), DataSample()])
    torch.testing.assert_close(shown.logits, again.logits)


def test_a_student_trains_on_what_a_detector_finds(model: dict, save: Callable[..., str]) -> None:
    path = save(build(model), dataset_meta=dict(classes=CLASSES))
    small = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(
            dict(
                type='mlic_mm.MultiLabelClassifier',
                data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
                backbone=small,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=64),
                objectives=dict(
                    teacher=dict(
                        type='mlic_mm.Distillation',
                        teacher=dict(model=dict(type='mlic_mm.DetectorTeacher', detector=model, checkpoint=path)),
                        losses=dict(
                            regions=dict(type='mlic_mm.RoIFeatureDistillLoss'),
                            labels=dict(type='mlic_mm.HintonDistillLoss'),
                        ),
                    ),
                ),
            )
        )
        student.init_weights()
    samples = [DataSample().set_gt_score(torch.tensor([1.0, 0, 1])) for _ in range(2)]
    batch = student.data_preprocessor(dict(inputs=torch.rand(2, 3, 64, 64) * 255, data_samples=samples), True)
    losses = student.loss(batch['inputs'], batch['data_samples'])
    assert losses.keys() == {'loss', 'loss_teacher_regions', 'loss_teacher_labels'}
    sum(losses.values()).backward()
    assert all(value > 0 for value in losses.values())
    assert student.backbone.conv1.weight.grad.abs().sum() > 0
    assert not any('detector' in name for name in student.state_dict())


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(teacher: DetectorTeacher, name: str = 'detector.pth', **meta: Any) -> str:
        torch.save(dict(state_dict=teacher.detector.state_dict(), meta=meta), tmp_path / name)
        return str(tmp_path / name)

    return write


def test_weights_and_names_of_a_checkpoint(model: dict, raw: Tensor, save: Callable[..., str], tmp_path: Path) -> None:
    first = build(model, classes=CLASSES)
    path = save(first, dataset_meta=dict(classes=CLASSES))
    (tmp_path / 'detector.py').write_text(f'model = {model!r}')
    torch.manual_seed(7)
    second = DetectorTeacher(str(tmp_path / 'detector.py'), path)
    assert second.classes == CLASSES
    assert second.num_classes == 3
    with torch.no_grad():
        torch.testing.assert_close(second.teach(raw).logits, first.teach(raw).logits)
    assert DetectorTeacher(model, save(first, 'old.pth', CLASSES=CLASSES)).classes == CLASSES  # as mmdet 2 wrote it
    assert DetectorTeacher(model, save(first, 'bare.pth')).classes is None
    with pytest.raises(ValueError, match=r"index 0: checkpoint .*detector\.pth has 'cat' where the argument classes"):
        DetectorTeacher(model, path, classes=('dog', 'cat', 'cow'))
    with pytest.raises(ValueError, match=r'roi_head\.bbox_head .* has num_classes=3, but checkpoint .* names 2'):
        DetectorTeacher(model, save(first, 'two.pth', dataset_meta=dict(classes=('a', 'b'))))


def test_names_of_the_data_of_a_config(model: dict) -> None:
    model['roi_head']['bbox_head']['num_classes'] = 20
    data = dict(type='VOCDataset', pipeline=[])
    whole = dict(model=model, test_dataloader=dict(dataset=dict(type='RepeatDataset', times=1, dataset=data)))
    assert build(whole).classes[:2] == ('aeroplane', 'bicycle')
    data['metainfo'] = dict(classes=('a', 'b'))
    with pytest.raises(ValueError, match=r'num_classes=20, but the config names 2'):
        build(whole)


def test_what_does_not_fit_is_named(model: dict, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'config nowhere\.py not found: name'):
        build('nowhere.py')
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*nowhere\.pth'):
        build(model, checkpoint=str(tmp_path / 'nowhere.pth'))
    torch.save(dict(state_dict={'a': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth lacks \d+ of the .* none of its names fits'):
        build(model, checkpoint=str(tmp_path / 'other.pth'))
    with pytest.raises(ValueError, match='has no model'):
        build(dict(model=None))
    with pytest.raises(ValueError, match=r'eps=0 must be a number above 0 and below 0.5'):
        build(model, eps=0)
    rpn = {key: model[key] for key in ('data_preprocessor', 'backbone', 'neck', 'rpn_head', 'train_cfg', 'test_cfg')}
    with pytest.raises(ValueError, match='RPN of the config has no classes'):
        build(dict(type='RPN', **rpn))


@pytest.mark.skipif(find_spec('mmdet') is not None, reason='mmdet is here')
def test_without_mmdet_the_command_is_named() -> None:
    with pytest.raises(ImportError, match=r'DetectorTeacher needs mmdet: pip install'):
        DetectorTeacher(MODEL)
