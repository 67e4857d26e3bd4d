"""Proposals of an mmdet detector, a small one with random weights."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_spatial_context import NEEDS_MMDET, model_config

from mlic_mm.models.patch_generators import RPNGenerator
from mlic_mm.registry import TASK_UTILS

CONFIG = """
model = dict(
    type={kind!r},
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.0, 116.0, 103.0], std=[58.0] * 3, bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, stem_channels=8,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
    rpn_head=dict(
        type='RPNHead', in_channels=16, feat_channels=16,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4)),
    train_cfg=None,
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=80, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)),
)
pack = dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    pack,
]
test_dataloader = dict(dataset=dict(type='RepeatDataset', times=1, dataset=dict(pipeline=pipeline)))
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    if find_spec('mmdet') is None or find_spec('mmcv._ext') is None:
        pytest.skip("no mmdet with mmcv's compiled ops: make test installs them")
    (tmp_path / 'rpn.py').write_text(CONFIG.format(kind='RPN'))
    return str(tmp_path / 'rpn.py')


def test_boxes_of_the_image_and_weights_of_the_checkpoint(config: str, data_root: Path, tmp_path: Path) -> None:
    image = cv2.imread(str(data_root / 'VOCdevkit/VOC2007/JPEGImages/000001.jpg'))
    height, width = image.shape[:2]
    torch.manual_seed(0)
    generator = TASK_UTILS.build(dict(type='mlic_mm.RPNGenerator', config=config, num=50))
    boxes, scores = generator(image)
    assert 0 < len(boxes) <= 50
    assert (np.diff(scores) <= 0).all()
    assert 0 <= scores.min() <= scores.max() <= 1
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()
    assert boxes[:, 2].max() > 0.7 * width  # in pixels of this image, not of the resized one
    assert generator.settings['config'] == 'rpn.py'

    torch.save(dict(state_dict=generator._model.state_dict()), tmp_path / 'rpn.pth')
    torch.manual_seed(1)
    other = RPNGenerator(config, num=50)
    assert not np.array_equal(other(image)[1], scores)
    same = RPNGenerator(config, str(tmp_path / 'rpn.pth'), num=50)
    np.testing.assert_array_equal(same(image)[0], boxes)


def test_what_does_not_fit_is_named(config: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere'):
        RPNGenerator('nowhere.py')
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*nowhere\.pth'):
        RPNGenerator(config, str(tmp_path / 'nowhere.pth'))
    torch.save(dict(state_dict={'a': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth lacks \d+ of the \d+ tensors .* first is backbone'):
        RPNGenerator(config, str(tmp_path / 'other.pth'))


@NEEDS_MMDET
def test_network_of_a_head_that_ignores_proposals(tmp_path: Path) -> None:
    """Tests of this model need no region proposal network, but the generator does; other objectives may be missing."""
    model = model_config(3)
    model.head = dict(type='CSRAClsHead', num_classes=3, in_channels=16, num_heads=1, lam=0.1)
    losses = dict(hint=dict(type='mlic_mm.FitNetsLoss', student_channels=16, teacher_channels=8))
    model.objectives.teacher = dict(type='mlic_mm.Distillation', losses=losses)
    steps = [dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(64, 64)), dict(type='mlic_mm.PackBoxes')]
    test = dict(dataset=dict(type='mlic_mm.VOCMultiLabel', pipeline=steps))
    Config(dict(default_scope='mmpretrain', model=model, test_dataloader=test)).dump(tmp_path / 'net.py')
    generator = RPNGenerator(str(tmp_path / 'net.py'))
    weights = generator._model.state_dict()
    exported = {name: value for name, value in weights.items() if not name.startswith('objectives.teacher')}
    assert len(exported) < len(weights)
    torch.save(dict(state_dict=exported), tmp_path / 'exported.pth')
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    same = RPNGenerator(str(tmp_path / 'net.py'), str(tmp_path / 'exported.pth'))
    np.testing.assert_array_equal(same(image)[0], generator(image)[0])
    plain = {name: value for name, value in weights.items() if not name.startswith('objectives.')}
    torch.save(dict(state_dict=plain), tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match=r'plain\.pth lacks .* the first is objectives\.rpn\.rpn_head'):
        RPNGenerator(str(tmp_path / 'net.py'), str(tmp_path / 'plain.pth'))


@pytest.mark.skipif(find_spec('mmdet') is not None, reason='mmdet is here')
def test_without_mmdet_the_command_is_named() -> None:
    with pytest.raises(ImportError, match=r'needs mmdet: pip install'):
        RPNGenerator('a.py')
