"""Samples of all kinds through the spatial-context-aware network: no objects, crowds alone, mmdet's, other heads."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from tiny_spatial_context import NEEDS_MMDET, coco, model_config

from mlic_mm.registry import MODELS

pytestmark = NEEDS_MMDET

DOG = dict(bbox=[10, 20, 50, 60], bbox_label=1, ignore_flag=0)
CROWD = dict(bbox=[60, 0, 120, 80], bbox_label=2, ignore_flag=1)
LINE = dict(bbox=[30, 30, 30, 50], bbox_label=3, ignore_flag=0)
OUTSIDE = dict(bbox=[130, 0, 160, 20], bbox_label=3, ignore_flag=0)
IMAGES = dict(objects=[DOG, CROWD], none=[], crowds=[CROWD], without_area=[LINE, OUTSIDE])


def build(**head: Any) -> Any:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(model_config(4, **head))
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp('image') / 'a.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (80, 120, 3), dtype=np.uint8))
    return str(path)


def batch(picture: str, *kinds: str, train: bool = True) -> dict:
    steps = [dict(type='LoadAnnotations')] if train else []
    resize = dict(type='Resize', scale=(96, 64))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [dict(type='mlic_mm.LoadImage'), *steps, resize, dict(type='mlic_mm.PackBoxes', num_classes=4)]
        )
        return pseudo_collate([pipeline(dict(img_path=picture, img_id=kind, instances=IMAGES[kind])) for kind in kinds])


def train_step(model: Any, data: dict) -> dict[str, torch.Tensor]:
    """Return the losses after checking that all of them, and all gradients, are finite."""
    model.train().zero_grad()
    data = model.data_preprocessor(data, True)
    losses = model(**data, mode='loss')
    parsed, _ = model.parse_losses(losses)
    parsed.backward()
    assert torch.isfinite(parsed)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name  # distributed training waits for every one
        assert torch.isfinite(parameter.grad).all(), name
    return {name: sum(value) if isinstance(value, list) else value for name, value in losses.items()}


@pytest.mark.parametrize('target', ['patch', 'image'])
@pytest.mark.parametrize(
    'kinds', [('none',), ('crowds',), ('without_area',), ('none', 'crowds', 'without_area'), ('objects', 'none')]
)
def test_training_without_objects(picture: str, kinds: tuple[str, ...], target: str) -> None:
    losses = train_step(build(target=target), batch(picture, *kinds))
    assert losses['loss_patch'] > 0  # there is always background
    for name in ('loss_bbox', 'loss_rpn_bbox'):
        assert (losses[name] > 0) == ('objects' in kinds), name


@pytest.mark.parametrize('branches', [('object',), ('context',), ('object', 'context')])
def test_testing_without_objects(picture: str, branches: tuple[str, ...]) -> None:
    model = build(branches=branches, test_cfg=dict(score_thr=0.0)).eval()
    with torch.no_grad():
        samples = model.test_step(batch(picture, *IMAGES, train=False))
    for sample in samples:
        assert torch.isfinite(sample.pred_score).all()
        assert len(sample.pred_instances.bboxes)
        assert (sample.pred_instances.bboxes <= torch.tensor([120.0, 80, 120, 80]) + 1e-3).all()
    # The objects are where they were, for the metrics: boxes in pixels of the file.
    assert samples[0].gt_instances.bboxes.tolist() == [DOG['bbox']]
    assert [len(sample.gt_instances.labels) for sample in samples] == [1, 0, 0, 2]
    assert [len(sample.ignored_instances.labels) for sample in samples] == [1, 0, 1, 0]


def test_nothing_proposed(picture: str) -> None:
    """The whole image is then the one patch, in training beside the objects."""
    model = build()
    model.proposer.proposal_cfg = model.proposer.proposal_cfg | dict(min_bbox_size=1000)
    model.proposer.rpn_head.test_cfg.min_bbox_size = 1000
    train_step(model, batch(picture, 'objects', 'none'))
    with torch.no_grad():
        samples = model.eval().test_step(batch(picture, 'objects', 'none', train=False))
    for sample in samples:
        assert sample.proposals.tolist() == [[0, 0, 96, 64]]
        assert torch.isfinite(sample.pred_score).all()


def test_samples_of_mmdets_packing_train_as_ours(data_root: Path) -> None:
    """PackDetInputs in mmdet's pipeline, and mlic_mm.PackBoxes at its end, give the same losses."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    steps = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.Resize', scale=(128, 96), keep_ratio=True),
        dict(type='mmdet.RandomFlip', prob=1.0),
    ]
    losses = []
    for pack in (dict(type='mmdet.PackDetInputs'), dict(type='mlic_mm.PackBoxes')):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            data = DATASETS.build(coco(data_root, False) | dict(indices=3, pipeline=[*steps, pack]))
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model: Any = MODELS.build(model_config(80))
        torch.manual_seed(1)
        losses.append(train_step(model, pseudo_collate([data[i] for i in range(3)])))
    assert losses[0].keys() == losses[1].keys()
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name], msg=name)


def test_regions_for_other_heads(picture: str) -> None:
    """Weakly supervised detection on the patches of the region proposal network, which learns beside it."""
    config = model_config(4)
    # The last of four maps, where regions are pooled, has cells of 32 pixels.
    config.head = dict(
        type='mlic_mm.WSDDNHead',
        num_classes=4,
        in_channels=16,
        stride=32,
        roi_size=2,
        test_cfg=dict(boxes=True, score_thr=0.0),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(config)
    model.init_weights()
    losses = train_step(model, batch(picture, 'objects', 'none'))
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox', 'loss'}
    assert all(value > 0 for value in losses.values())
    with torch.no_grad():
        samples = model.eval().test_step(batch(picture, 'objects', 'none', train=False))
    for sample in samples:
        assert sample.pred_score.shape == (4,)
        found = sample.pred_instances.bboxes
        # In pixels of the file, which is 1.25 times the input: proposals, scaled.
        off = (found[:, None] - sample.proposals * 1.25).abs().amax(2).amin(1)
        assert len(off)
        assert off.max() < 1e-3
