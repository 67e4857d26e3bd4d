"""mmdet's Faster R-CNN with a label head, on photographs that mmdet reads itself."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint
from tiny_spatial_context import NEEDS_MMDET, coco, voc

import mlic_mm  # noqa: F401
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import DATASETS, MODELS

pytestmark = [pytest.mark.integration, NEEDS_MMDET]


def faster_rcnn(num_classes: int = 20) -> ConfigDict:
    """mmdet's own config with fewer channels."""
    model = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
    model.backbone.update(depth=18, stem_channels=8, base_channels=8, frozen_stages=-1, init_cfg=None)
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    model.roi_head.bbox_roi_extractor.out_channels = 16
    model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=num_classes)
    model.train_cfg.rpn_proposal.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rpn.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rcnn.score_thr = 0.0
    return model


def head(num_classes: int = 20, **options: Any) -> dict:
    loss = dict(type='mlic_mm.MultiLabelBCELoss')
    csra = dict(type='mmpretrain.CSRAClsHead', in_channels=64, num_heads=1, lam=0.1, loss=loss)
    return csra | dict(num_classes=num_classes) | options


def build(config: dict) -> Any:
    """Build in mmdet's scope, as mmdet's own runs do, with the same weights each time."""
    register_mmdet('a test')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(copy.deepcopy(config))
        model.init_weights()
    return model


def with_labels(**options: Any) -> Any:
    return build(dict(type='mlic_mm.LabelledDetector', detector=faster_rcnn(), head=head(**options)))


def plain() -> Any:
    return build(faster_rcnn())


def dataset(config: dict, **options: Any) -> dict:
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.Resize', scale=(160, 128), keep_ratio=True),
        dict(type='mmdet.PackDetInputs'),
    ]
    return config | dict(pipeline=pipeline) | options


def batch(config: dict, indices: list[int], model: Any, training: bool) -> dict:
    register_mmdet('a test')
    with DefaultScope.overwrite_default_scope('mmdet'):
        data = DATASETS.build(dataset(config, test_mode=not training))
        samples = [data[i] for i in indices]
        collated = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
        return model.data_preprocessor(collated, training)


def losses(model: Any, data: dict) -> dict[str, Any]:
    torch.manual_seed(1)  # for the samples of proposals
    return model(**copy.deepcopy(data), mode='loss')


def test_losses_of_the_detector_and_gradients_of_the_head(data_root: Path) -> None:
    model, reference = with_labels(), plain()
    assert type(model) is type(reference)
    found = model.load_state_dict(reference.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) == {f'label_head.{name}' for name in model.label_head.state_dict()}
    data = batch(voc(data_root, False), [0, 1, 2], model, training=True)
    ours, theirs = losses(model, data), losses(reference, data)
    labels = ours.pop('loss_labels')
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():  # a list has a value for each level of the pyramid
        pairs = zip(ours[name], value, strict=True) if isinstance(value, list) else [(ours[name], value)]
        assert all(torch.equal(one, other) for one, other in pairs), name
    labels.backward()
    trained = {name.split('.')[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert trained == {'backbone', 'label_head'}
    assert all(weight.grad.abs().sum() > 0 for weight in model.label_head.parameters())
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


def test_predictions_are_those_of_the_detector(data_root: Path) -> None:
    model, reference = with_labels().eval(), plain().eval()
    reference.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith('label_head.')})
    data = batch(voc(data_root, False), [0, 1], model, training=False)
    with torch.no_grad():
        for ours, theirs in zip(
            *(each(**copy.deepcopy(data), mode='predict') for each in (model, reference)), strict=True
        ):
            assert len(ours.pred_instances) > 10
            assert ours.keys() == theirs.keys()
            for field in ('bboxes', 'scores', 'labels'):
                assert torch.equal(ours.pred_instances[field], theirs.pred_instances[field])


def test_labels_of_the_images(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of our own VOC, where difficult objects alone are ignored."""
    register_mmdet('a test')
    ours = DATASETS.build(voc(data_root, True) | dict(with_boxes=False, difficult='ignore', pipeline=[]))
    ids = {Path(ours.get_data_info(i)['img_path']).stem: ours.get_data_info(i)['gt_score'] for i in range(len(ours))}
    model = with_labels()
    theirs = DATASETS.build(dataset(voc(data_root, False), test_mode=True))
    names = [theirs.get_data_info(i)['img_id'] for i in range(len(theirs))]
    chosen = [*[i for i, name in enumerate(names) if -1 in ids[name]][:3], 0]
    data = batch(voc(data_root, False), chosen, model, training=True)
    seen = []
    monkeypatch.setattr(
        model.label_head, 'loss', lambda feats, samples: seen.extend(samples) or dict(loss=feats[-1].sum())
    )
    losses(model, data)
    scores = torch.stack([sample.gt_score for sample in seen])
    assert (scores == -1).any()
    assert (scores == 1).any()
    assert torch.equal(scores, torch.stack([torch.as_tensor(ids[names[i]]).float() for i in chosen]))


def test_ignored_labels_have_no_gradient_with_a_loss_of_mmpretrain() -> None:
    """The head's default loss is mmpretrain's, not the one of mmdet with the same name."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    options = dict(loss=dict(type='CrossEntropyLoss', use_sigmoid=True))
    model = with_labels(**options)
    assert type(model.label_head.loss_module).__module__.startswith('mmpretrain')
    boxes = torch.tensor([[10.0, 10, 90, 90]])
    sample = DetDataSample(metainfo=dict(img_shape=(128, 128), pad_shape=(128, 128), batch_input_shape=(128, 128)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([3]))
    sample.ignored_instances = InstanceData(bboxes=boxes, labels=torch.tensor([5]))
    model(torch.rand(1, 3, 128, 128), [sample], mode='loss')['loss_labels'].backward()
    gradient = next(parameter.grad for parameter in model.label_head.parameters()).flatten(1).abs().sum(1)
    assert gradient[5] == 0
    assert (gradient > 0).sum() == 19
    sample.gt_instances.labels[0] = 20
    with pytest.raises(ValueError, match=r'labels \[5, 20\], but num_classes=20'):
        model(torch.rand(1, 3, 128, 128), [sample], mode='loss')
    del sample.ignored_instances  # data sets without any
    for objects in (
        InstanceData(bboxes=boxes, labels=torch.tensor([19])),
        InstanceData(bboxes=boxes[:0], labels=boxes[:0, 0].long()),
    ):
        sample.gt_instances = objects
        assert model(torch.rand(1, 3, 128, 128), [sample], mode='loss')['loss_labels'] > 0


def test_the_data_preprocessor_of_the_whole_config() -> None:
    detector = faster_rcnn()
    own = detector.data_preprocessor
    other = dict(own, mean=[0.0, 0.0, 0.0])
    config = dict(type='mlic_mm.LabelledDetector', detector=detector, head=head(), data_preprocessor=other)
    assert build(config).data_preprocessor.mean.flatten().tolist() == pytest.approx(own.mean)
    del detector.data_preprocessor
    assert build(config).data_preprocessor.mean.flatten().tolist() == [0, 0, 0]


@pytest.fixture
def scope_of_mmdet() -> Iterator[None]:
    """A runner sets the scope of the process. Here it ends with the test."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.mark.usefixtures('scope_of_mmdet')
def test_a_run_of_mmdet_with_averaged_weights(data_root: Path, tmp_path: Path) -> None:
    """Checkpoints go both ways; the copy of EMAHook is a detector of its own."""
    published = tmp_path / 'published.pth'
    reference = plain()
    torch.save(dict(state_dict=reference.state_dict(), meta={}), published)
    runner = Runner(
        model=dict(type='mlic_mm.LabelledDetector', detector=faster_rcnn(80), head=head(80)),
        work_dir=str(tmp_path / 'run'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dataset(coco(data_root, False), indices=4),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook')),
        custom_hooks=[dict(type='EMAHook')],
        default_scope='mmdet',
        experiment_name='labelled',
        randomness=dict(seed=1),
        log_level='ERROR',
    )
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    after = runner.model.state_dict()
    for name in ('backbone.conv1.weight', 'label_head.csra_heads.0.head.weight'):
        assert not torch.equal(before[name], after[name])
    averaged = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model.module
    assert averaged.loss.args[0] is averaged
    reference = build(faster_rcnn(80))
    stored = load_checkpoint(reference, str(tmp_path / 'run' / 'epoch_1.pth'))['state_dict']
    assert {name.split('.')[0] for name in stored.keys() - reference.state_dict().keys()} == {'label_head'}
    assert all(torch.equal(weight, stored[name]) for name, weight in reference.state_dict().items())


def test_a_detector_without_a_backbone_is_refused() -> None:
    student = faster_rcnn()
    semi = dict(type='SoftTeacher', detector=student, semi_train_cfg=dict(freeze_teacher=True))
    with pytest.raises(ValueError, match='detector=SoftTeacher has no backbone: name a detector'):
        build(dict(type='mlic_mm.LabelledDetector', detector=semi, head=head()))
