"""Students of several kinds of teachers."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models import DistillLoss, DistillOutputs, Teacher, multi_label_bce
from mlic_mm.models.data_preprocessors import denormalize
from mlic_mm.models.layers import fuse_branches, select_regions
from mlic_mm.models.losses import roi_feature_distance
from mlic_mm.models.objectives import distillation
from mlic_mm.registry import MODELS

BACKBONE = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
LINEAR = dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=64)
NORMALISED = dict(num_classes=4, mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], to_rgb=True)
ROI = dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=2)
CLASS_AWARE = dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=4, num_proposals=6)

HINTON = dict(hinton=dict(type='mlic_mm.HintonDistillLoss'))


def build(model: dict, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(dict(data_preprocessor=dict(NORMALISED)) | model)
    built.init_weights()
    for module in built.modules():  # statistics that are no identity, so that evaluation mode shows
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return built


def plain(**head: Any) -> Any:
    return build(
        dict(type='ImageClassifier', backbone=BACKBONE, neck=dict(type='GlobalAveragePooling'), head=LINEAR | head)
    )


def detector(seed: int = 1, dropout: bool = False) -> Any:
    """A teacher that looks at regions, with random logits that differ from region to region."""
    neck = dict(type='mlic_mm.VGGNeck', in_channels=64, out_channels=64) if dropout else None
    head = dict(type='mlic_mm.WSDDNHead', num_classes=4, in_channels=64, stride=32, roi_size=7 if dropout else 2)
    model = build(dict(type='ImageClassifier', backbone=BACKBONE, head=head | dict(region_neck=neck)), seed)
    nn.init.normal_(model.head.fc_cls.weight, std=2)
    nn.init.normal_(model.head.fc_det.weight, std=2)
    return model


def student(teacher: Any = None, losses: dict | None = None, **options: Any) -> Any:
    """A student with its teacher; ``options`` are those of the objective or of the model."""
    objective = dict(
        type='mlic_mm.Distillation',
        losses=dict(roi=ROI, prediction=CLASS_AWARE) if losses is None else losses,
        teacher=None if teacher is None else dict(model=teacher, num_regions=3),
    )
    objective |= {name: options.pop(name) for name in ('stage', 'student_size') if name in options}
    return build(
        dict(
            type='mlic_mm.MultiLabelClassifier',
            backbone=BACKBONE,
            neck=dict(type='GlobalAveragePooling'),
            head=options.pop('head', LINEAR),
            objectives=dict(teacher=objective),
            **options,
        )
    )


def teach(model: Any, images: Tensor, samples: list[DataSample]) -> DistillOutputs:
    """What the teacher of a student gives for a batch."""
    return model.objectives.teacher.teacher(denormalize(images, model.data_preprocessor), samples)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 4 - 2


@pytest.fixture
def samples() -> list[DataSample]:
    generator = torch.Generator().manual_seed(2)
    made = []
    for target in ([1, 0, 0, 1], [0, 1, -1, 0]):
        sample = DataSample().set_gt_score(torch.tensor(target).float())
        corners = torch.rand(6, 2, 2, generator=generator).sort(1).values * torch.tensor([96.0, 64.0])
        sample.set_field(corners.flatten(1) + torch.tensor([0, 0, 1.0, 1.0]), 'proposals')
        sample.set_field(torch.rand(6, generator=generator), 'proposal_scores')
        made.append(sample)
    return made


class TestStudent:
    def test_is_the_plain_classifier_at_test(self, images: Tensor) -> None:
        ours, other = student(detector()).eval(), plain().eval()
        learnt = 'objectives.teacher.losses.'
        weights = {key: value for key, value in ours.state_dict().items() if not key.startswith(learnt)}
        assert list(weights) == list(other.state_dict())
        other.load_state_dict(weights)
        assert torch.equal(ours(images), other(images))
        assert [s.pred_score.tolist() for s in ours(images, mode='predict')] == [
            s.pred_score.tolist() for s in other(images, mode='predict')
        ]

    def test_needs_no_teacher_for_tests(self, images: Tensor, tmp_path: Path) -> None:
        missing = dict(config=str(tmp_path / 'gone.py'), checkpoint=str(tmp_path / 'gone.pth'))
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(
                dict(
                    type='mlic_mm.MultiLabelClassifier',
                    backbone=BACKBONE,
                    neck=dict(type='GlobalAveragePooling'),
                    head=LINEAR,
                    objectives=dict(teacher=dict(type='mlic_mm.Distillation', losses=dict(roi=ROI), teacher=missing)),
                )
            )
        assert model.eval()(images).shape == (2, 4)
        message = r"^objectives\['teacher'\]: no config .*gone.*: train .*; model\.objectives\.teacher=None drops it"
        with pytest.raises(FileNotFoundError, match=message):  # noticed when training begins
            model.init_weights()

    def test_losses_are_those_of_its_parts(self, images: Tensor, samples: list[DataSample]) -> None:
        teacher = detector().eval()
        model = student(teacher).eval()
        losses = model.loss(images, samples)
        assert list(losses) == ['loss', 'loss_teacher_roi', 'loss_teacher_prediction']
        targets = torch.stack([sample.gt_score for sample in samples])
        feats = model.backbone(images)
        logits = model.head(model.neck(feats))
        expected = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction='none')
        known = (expected * (targets >= 0)).sum() / 2
        # mmpretrain's default loss has its own way with −1; ours is compared on the sample that has none.
        single = model.loss(images[:1], samples[:1])['loss']
        torch.testing.assert_close(single, expected[:1].sum())
        assert known.isfinite()

        seen = teacher.backbone(images)  # both normalise alike
        regions = teacher.head.region_logits(seen, samples)
        fused = fuse_branches(regions.cls, regions.det)
        boxes, weights = [], []
        for score, sample in zip(fused.sum(2), samples, strict=True):
            kept = select_regions(sample.proposals, score, 0.4, 3)
            boxes.append(sample.proposals[kept] / torch.tensor([96, 64, 96, 64]))
            weights.append(score[kept])
        distance = roi_feature_distance(feats[-1], seen[-1], boxes, weights, 2)
        torch.testing.assert_close(losses['loss_teacher_roi'], distance)
        prediction = (fused.sum(1) - logits.sigmoid()).square().sum() / 4
        torch.testing.assert_close(losses['loss_teacher_prediction'], prediction)

    def test_stages(self, images: Tensor, samples: list[DataSample]) -> None:
        model = student(detector())
        for stage, names in ((1, ['loss_teacher_roi']), (2, ['loss', 'loss_teacher_prediction'])):
            model.objectives.teacher.stage = stage
            model.zero_grad()
            losses = model.loss(images, samples)
            assert list(losses) == names
            sum(losses.values()).backward()
            moved = {name.split('.')[0] for name, p in model.named_parameters() if p.grad is not None}
            assert moved == ({'backbone'} if stage == 1 else {'backbone', 'head', 'objectives'})

    def test_learns_all_its_parts_and_not_the_teacher(self, images: Tensor, samples: list[DataSample]) -> None:
        teacher = detector(dropout=True)
        before = copy.deepcopy(teacher.state_dict())
        model = student(teacher)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        own = {name: p.detach().clone() for name, p in model.named_parameters()}
        model.train()
        sum(model.loss(images, samples).values()).backward()
        optimizer.step()
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, own[name])}
        temperatures = {f'objectives.teacher.losses.prediction.{name}_theta' for name in ('cls', 'det', 'student')}
        assert {'backbone.conv1.weight', 'head.fc.weight'} | temperatures <= moved
        after = teacher.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)  # statistics of its BatchNorm included

    def test_smaller_than_the_teacher(self, images: Tensor, samples: list[DataSample]) -> None:
        sizes = []
        model = student(detector(), student_size=32)
        for looking in (model, model.objectives.teacher.teacher.model):
            looking.backbone.register_forward_pre_hook(lambda _, args: sizes.append(tuple(args[0].shape[-2:])))
        model.loss(images, samples)
        assert sizes == [(32, 32), (64, 96)]
        model.eval()(images)
        assert sizes[-1] == (64, 96)  # tests take images as they are

    def test_a_config_that_inherits_drops_a_loss(self, images: Tensor, samples: list[DataSample]) -> None:
        losses = student(detector(), dict(HINTON, roi=None)).loss(images, samples)
        assert list(losses) == ['loss', 'loss_teacher_hinton']

    def test_a_loss_of_ones_own(self, images: Tensor, samples: list[DataSample]) -> None:
        class Same(DistillLoss):
            level = 'prediction'

            def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
                assert student.logits is not None
                return self.loss_weight * (student.logits - teacher.logits).abs().sum()

        model, teacher = student(plain(), dict(same=Same(2.0))).eval(), plain().eval()
        model.load_state_dict(teacher.state_dict(), strict=False)
        assert model.loss(images, samples)['loss_teacher_same'].item() == pytest.approx(0, abs=1e-5)


class TestTeacherIsFrozen:
    def test_in_every_sense(self, images: Tensor, samples: list[DataSample]) -> None:
        model = student(detector(dropout=True))
        teacher = model.objectives.teacher.teacher.model
        first = teach(model, images, samples)
        model.train()
        assert not any(module.training for module in teacher.modules())
        assert not any(p.requires_grad for p in teacher.parameters())
        second = teach(model, images, samples)  # dropout or batch statistics would differ
        assert torch.equal(first.cls_logits, second.cls_logits)
        assert not second.cls_logits.requires_grad

    def test_outside_of_checkpoints_optimisers_and_copies(self) -> None:
        teacher = detector()
        model = student(teacher)
        inside = {id(p) for p in model.parameters()}
        assert not inside & {id(p) for p in teacher.parameters()}
        assert not any(key.startswith('objectives.teacher.teacher') for key in model.state_dict())
        assert len(model.state_dict()) == len(plain().state_dict()) + 3  # three temperatures
        average = ExponentialMovingAverage(model)  # what EMAHook makes
        assert average.module.objectives.teacher.teacher is model.objectives.teacher.teacher
        assert not any(module is teacher for module in model.modules())

    def test_goes_where_the_student_goes(self) -> None:
        model = student(detector())
        model.to(torch.float64)
        weight = model.objectives.teacher.teacher.model.backbone.conv1.weight
        assert weight.dtype == torch.float64
        model.to(memory_format=torch.channels_last)
        assert weight.is_contiguous(memory_format=torch.channels_last)

    def test_normalises_as_it_was_trained(self, images: Tensor, samples: list[DataSample]) -> None:
        """Images that its student normalises otherwise reach it as raw pixels."""
        teacher = plain().eval()
        expected = teacher(images)
        raw = denormalize(images, teacher.data_preprocessor)
        other = dict(num_classes=4, mean=[0.0] * 3, std=[255.0] * 3, to_rgb=False)
        model = student(teacher, dict(hinton=dict(type='mlic_mm.HintonDistillLoss')), data_preprocessor=other)
        outputs = teach(model, raw / 255, samples)
        torch.testing.assert_close(outputs.logits, expected, rtol=1e-4, atol=1e-4)


class TestKindsOfTeachers:
    def test_a_plain_classifier_takes_regions_from_the_samples(self, images: Tensor, samples: list[DataSample]) -> None:
        teacher = plain().eval()
        model = student(teacher, dict(roi=ROI, prediction=CLASS_AWARE | dict(num_proposals=None)))
        outputs = teach(model, images, samples)
        torch.testing.assert_close(outputs.logits, teacher(images), rtol=1e-4, atol=1e-4)
        best = select_regions(samples[0].proposals, samples[0].proposal_scores, 0.4, 3)
        torch.testing.assert_close(outputs.box_scores[0], samples[0].proposal_scores[best])
        assert set(model.loss(images, samples)) == {'loss', 'loss_teacher_roi', 'loss_teacher_prediction'}

    def test_an_ensemble(self, images: Tensor, samples: list[DataSample]) -> None:
        members = [dict(model=plain().eval()), dict(model=detector().eval())]
        with pytest.raises(ValueError, match='WSDDNHead looks at regions'):  # an ensemble passes none on
            teach(student(build(dict(type='mlic_mm.EnsembleClassifier', members=members)), HINTON), images, samples)
        ensemble = build(dict(type='mlic_mm.EnsembleClassifier', members=members[:1] * 2))
        model = student(ensemble, HINTON)
        torch.testing.assert_close(
            teach(model, images, samples).logits, members[0]['model'](images), rtol=1e-4, atol=1e-4
        )
        assert 'loss_teacher_hinton' in model.loss(images, samples)

    def test_from_config_and_checkpoint(self, images: Tensor, samples: list[DataSample], tmp_path: Path) -> None:
        teacher = detector().eval()
        config, weights = tmp_path / 'teacher.py', tmp_path / 'teacher.pth'
        head = dict(type='mlic_mm.WSDDNHead', num_classes=4, in_channels=64, stride=32, roi_size=2)
        model_cfg = dict(type='ImageClassifier', backbone=BACKBONE, head=head, data_preprocessor=NORMALISED)
        config.write_text(f'model = {model_cfg}')
        meta = dict(dataset_meta=dict(classes=('a', 'b', 'c', 'd')))
        torch.save(dict(state_dict=teacher.state_dict(), meta=meta), weights)
        loaded = Teacher(str(config), str(weights))
        assert loaded.classes == ('a', 'b', 'c', 'd')
        raw = denormalize(images, teacher.data_preprocessor)
        assert torch.equal(loaded(raw, samples).cls_logits, Teacher(model=teacher)(raw, samples).cls_logits)
        with pytest.raises(ValueError, match='no checkpoint given, so the teacher would have nothing to teach'):
            Teacher(str(config))
        with pytest.raises(FileNotFoundError, match='gone'):
            Teacher(str(config), str(tmp_path / 'gone.pth'))

    def test_a_teacher_that_was_a_student(self, images: Tensor, samples: list[DataSample], tmp_path: Path) -> None:
        """It needs neither its own teacher nor what it has learnt from it."""
        gone = dict(config=str(tmp_path / 'gone.py'), checkpoint=str(tmp_path / 'gone.pth'))
        objective = dict(type='mlic_mm.Distillation', teacher=gone, losses=dict(prediction=CLASS_AWARE))
        config = dict(type='mlic_mm.MultiLabelClassifier', data_preprocessor=NORMALISED, backbone=BACKBONE)
        config |= dict(neck=dict(type='GlobalAveragePooling'), head=LINEAR, objectives=dict(first=objective))
        (tmp_path / 'teacher.py').write_text(f'model = {config}')
        grown = plain().eval()
        torch.save(dict(state_dict=grown.state_dict()), tmp_path / 'teacher.pth')
        loaded = Teacher(str(tmp_path / 'teacher.py'), str(tmp_path / 'teacher.pth'))
        raw = denormalize(images, grown.data_preprocessor)
        assert torch.equal(loaded(raw, samples).logits, Teacher(model=grown)(raw, samples).logits)


class TestCachedTeacher:
    def test_equals_the_living(self, images: Tensor, samples: list[DataSample]) -> None:
        model = student(detector()).eval()
        expected = model.loss(images, samples)
        outputs = teach(model, images, samples)
        model.objectives.teacher.teacher = model.objectives.teacher._teacher_cfg = None
        for i, sample in enumerate(samples):
            sample.set_field(outputs.logits[i], 'teacher_logits')
            sample.set_field(outputs.cls_logits[i].half(), 'teacher_cls_logits')
            sample.set_field(outputs.det_logits[i].half(), 'teacher_det_logits')
            sample.set_field({'': outputs.maps[''][i].half()}, 'teacher_maps')
            frame = torch.tensor([96.0, 64, 96, 64])
            sample.set_field(outputs.boxes[i] * frame, 'proposals')
            sample.set_field(outputs.box_scores[i], 'proposal_scores')
        for key, value in model.loss(images, samples).items():
            torch.testing.assert_close(value, expected[key], rtol=2e-3, atol=1e-4)

    def test_different_numbers_of_regions(self, images: Tensor, samples: list[DataSample]) -> None:
        """As of a teacher whose images keep as many as they have: each counts as it would alone."""
        losses = dict(hinton=dict(type='mlic_mm.HintonDistillLoss', teacher_temperature=2.0))
        model = student(None, losses).eval()
        for sample, regions in zip(samples, (5, 3), strict=True):
            sample.set_field(torch.zeros(4), 'teacher_logits')
            sample.set_field(torch.randn(regions, 4), 'teacher_cls_logits')
            sample.set_field(torch.randn(regions, 4), 'teacher_det_logits')
            del sample.proposals, sample.proposal_scores
        alone = [model.loss(images[i : i + 1], samples[i : i + 1])['loss_teacher_hinton'] for i in (0, 1)]
        torch.testing.assert_close(model.loss(images, samples)['loss_teacher_hinton'], sum(alone) / 2)

    def test_goes_before_a_teacher_of_the_objective(
        self, images: Tensor, samples: list[DataSample], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = student(plain(), HINTON)
        seen = []
        monkeypatch.setattr(distillation, 'print_log', lambda text, **_: seen.append(text))
        model.loss(images, samples)
        assert not seen
        for sample in samples:
            sample.set_field(torch.zeros(4), 'teacher_logits')
        for _ in range(2):
            model.loss(images, samples)
        assert seen == ['samples have a cached teacher, so teacher of Distillation is not used: remove one of them']


class TestErrors:
    def test_teacher_without_such_a_layer(self) -> None:
        losses = dict(roi=ROI | dict(teacher_layer='backbone.nowhere'))
        with pytest.raises(ValueError, match=r"ImageClassifier has no module 'backbone\.nowhere'"):
            student(detector(), losses)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(), 'either config and checkpoint, or a built model'),
            (dict(model=nn.Identity(), num_regions=0), 'num_regions=0'),
            (dict(model=nn.Identity(), iou_threshold=0), 'iou_threshold=0 must be a number above 0 and at most 1'),
            (dict(model=nn.Identity(), checkpoint='x.pth'), "checkpoint='x.pth' of a teacher must be left out"),
        ],
    )
    def test_teacher_options(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Teacher(**options)


def test_loss_of_labels_ignores_unknown_ones(images: Tensor, samples: list[DataSample]) -> None:
    head = LINEAR | dict(loss=dict(type='mlic_mm.MultiLabelBCELoss'))
    model = student(detector(), dict(prediction=CLASS_AWARE), head=head).eval()
    targets = torch.stack([sample.gt_score for sample in samples])
    torch.testing.assert_close(model.loss(images, samples)['loss'], multi_label_bce(model(images), targets))
