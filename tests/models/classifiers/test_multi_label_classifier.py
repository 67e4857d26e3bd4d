"""One classifier for all objectives: what they share in a step, its stages and sizes, and how configs name them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from objective_parts import (
    FLIP,
    HINT,
    HINTON,
    LINEAR,
    POOLING,
    SCALE,
    SIDE,
    Spy,
    batch,
    build,
    calls,
    consistency,
    distillation,
    everything,
    plain,
)
from torch import Tensor, nn

from mlic_mm.models import Objective, multi_label_bce
from mlic_mm.models.classifiers import multi_label_classifier
from mlic_mm.models.objectives import Step
from mlic_mm.registry import MODELS, TASK_UTILS


class TestOneLook:
    def test_one_forward_for_each_size(self) -> None:
        """Of the image and four different views, three have its size."""
        model = build(everything())
        seen, pooled, taught = calls(model.backbone), calls(model.neck), calls(model.objectives.teacher)
        heads = calls(model.head)
        teacher = model.objectives.teacher.teacher.model
        looks = calls(teacher.backbone)
        losses = model.loss(*batch())
        assert list(losses) == [
            'loss',
            'loss_maps',
            'loss_labels',
            'loss_teacher_soft',
            'loss_teacher_hint',
            'loss_teacher_attention',
        ]
        assert seen == [(3 * 2, 3, SIDE, SIDE), (2 * 2, 3, 32, 32)]
        assert pooled == [(3 * 2, 32, 2, 2), (2 * 2, 32, 1, 1)]
        assert heads == [(3 * 2, 32), (2 * 2, 32)]
        assert looks == [(2, 3, SIDE, SIDE)]  # once, at the images alone
        assert not taught

    def test_equal_views_are_made_once(self) -> None:
        model = build(everything())
        assert [view.name for view in model.views] == ['flip', 'scale_32', 'flip+scale_32', 'rotate90']

    def test_losses_are_those_that_each_objective_has_alone(self) -> None:
        objectives = everything()
        together = build(objectives).loss(*batch())
        for name, objective in objectives.items():
            for key, value in build({name: objective}).loss(*batch()).items():
                if key != 'loss':
                    torch.testing.assert_close(together[key], value)
        images, samples = batch()
        targets = torch.stack([sample.gt_score for sample in samples])
        small = F.interpolate(images, (32, 32), mode='bilinear', antialias=True)
        flipped = F.interpolate(images.flip(-1), (32, 32), mode='bilinear', antialias=True)
        model = plain()
        views = (images, images.flip(-1), small, flipped, torch.rot90(images, 1, (-2, -1)))
        mean = torch.stack([multi_label_bce(model(view), targets) for view in views]).mean()
        torch.testing.assert_close(together['loss'], mean)

    def test_a_layer_is_recorded_once(self) -> None:
        """For two losses of one objective, and for two objectives; of the images, not of their views."""
        model = build(everything() | dict(more=distillation(losses=dict(hint=HINT))))
        assert len(model.backbone.layer3._forward_hooks) == 1
        spies = Spy(layers=['backbone.layer3']), Spy(layers=['backbone.layer3', ''])
        model = build(dict(first=spies[0], maps=consistency(FLIP, SCALE), second=spies[1]))
        images, samples = batch()
        model.loss(images, samples)
        first, second = (spy.seen[0].layers for spy in spies)
        assert len(model.backbone.layer3._forward_hooks) == 1
        assert first['backbone.layer3'] is second['backbone.layer3']
        assert first['backbone.layer3'].shape == (2, 16, 4, 4)
        torch.testing.assert_close(second[''], model.backbone(images)[-1])

    def test_what_objectives_see(self) -> None:
        spy = Spy(needs_logits=True)
        model = build(dict(spy=spy, maps=consistency(FLIP)))
        images, samples = batch()
        model.loss(images, samples)
        (step,) = spy.seen
        assert step.inputs is images
        assert step.samples == samples
        assert step.size == (SIDE, SIDE)
        assert step.data_preprocessor is model.data_preprocessor
        assert list(step.views) == ['flip']
        torch.testing.assert_close(step.image.logits, model(images))
        torch.testing.assert_close(step.views['flip'].logits, model(images.flip(-1)))
        weight = model.head.fc.weight
        torch.testing.assert_close(step.image.maps, torch.einsum('ck,nkhw->nchw', weight, step.image.feature))

    def test_gradients_reach_every_part(self) -> None:
        model = build(everything()).train()
        sum(model.loss(*batch()).values()).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_mixed_precision(self) -> None:
        model = build(everything()).train()
        with torch.autocast('cpu', torch.bfloat16):
            losses = model.loss(*batch())
        assert all(torch.isfinite(value) for value in losses.values())
        exact = build(everything()).train().loss(*batch())
        for name, value in losses.items():
            torch.testing.assert_close(value.float(), exact[name], rtol=0.15, atol=0.05)
        sum(losses.values()).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


class TestStagesAndSizes:
    def test_stage_1_leaves_labels_and_consistency_out(self) -> None:
        model = build(everything() | dict(teacher=distillation(losses=dict(soft=HINTON, hint=HINT), stage=1)))
        seen, heads = calls(model.backbone), calls(model.head)
        losses = model.loss(*batch())
        assert list(losses) == ['loss_teacher_hint']
        assert seen == [(2, 3, SIDE, SIDE)]
        assert not heads
        losses['loss_teacher_hint'].backward()
        assert {n.split('.')[0] for n, p in model.named_parameters() if p.grad is not None} == {'backbone'}
        model.objectives.teacher.stage = 2
        assert list(model.loss(*batch())) == ['loss', 'loss_maps', 'loss_labels', 'loss_teacher_soft']

    def test_two_teachers_in_stage_1(self) -> None:
        """One without stages waits as well."""
        first, second = (distillation(losses=dict(hint=HINT), stage=1) for _ in range(2))
        model = build(dict(first=first, second=second, third=distillation(losses=dict(hint=HINT))))
        assert list(model.loss(*batch())) == ['loss_first_hint', 'loss_second_hint']

    def test_a_layer_of_the_neck_in_stage_1(self) -> None:
        layer = dict(HINT, student_layer='neck.0', teacher_layer='backbone.layer4')
        teacher = distillation(losses=dict(hint=layer), stage=1)
        losses = build(dict(teacher=teacher), neck=[Halve(), POOLING]).loss(*batch(side=128))
        assert losses['loss_teacher_hint'] > 0

    def test_views_of_a_student_that_sees_smaller_images(self) -> None:
        """They are made from the image that it sees; the teacher looks at the image as it was loaded."""
        objectives = dict(maps=consistency(FLIP, SCALE), teacher=distillation(student_size=64))
        model = build(objectives)
        seen, looks = calls(model.backbone), calls(model.objectives.teacher.teacher.model.backbone)
        images, samples = batch(side=128)
        losses = model.loss(images, samples)
        assert seen == [(4, 3, 64, 64), (2, 3, 32, 32)]
        assert looks == [(2, 3, 128, 128)]
        small = F.interpolate(images, (64, 64), mode='bilinear', antialias=True)
        expected = build(dict(maps=consistency(FLIP, SCALE))).loss(small, samples)
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value)
        model(images)
        assert seen[-1] == (2, 3, 128, 128)  # tests take images as they are

    def test_the_smaller_size_holds_for_all(self) -> None:
        spy = Spy()
        model = build(dict(teacher=distillation(student_size=32), spy=spy))
        model.loss(*batch())
        (step,) = spy.seen
        assert step.size == (32, 32)
        assert step.inputs.shape == (2, 3, SIDE, SIDE)
        assert step.image.feature.shape == (2, 32, 1, 1)


class Halve(nn.Module):
    """A neck that gives maps."""

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (F.avg_pool2d(feats[-1], 2),)


class TestConfigs:
    def test_a_config_that_inherits_changes_and_drops_objectives(self, tmp_path: Path) -> None:
        losses = dict(soft=HINTON)
        teacher = dict(type='mlic_mm.Distillation', losses=losses, teacher=dict(config='a.py', checkpoint='a.pth'))
        (tmp_path / 'base.py').write_text(f'model = dict(objectives=dict(maps={consistency(FLIP)}, teacher={teacher}))')
        changes = dict(teacher=None, maps=dict(loss=dict(level='label')))
        (tmp_path / 'new.py').write_text(f"_base_ = ['base.py']\nmodel = dict(objectives={changes})")
        model = build(Config.fromfile(tmp_path / 'new.py').model.objectives)
        assert list(model.objectives) == ['maps']
        assert list(model.loss(*batch())) == ['loss', 'loss_maps']
        assert model.objectives.maps.loss.level == 'label'

    @pytest.mark.parametrize('objectives', [None, {}, dict(teacher=None)])
    def test_without_objectives_it_is_plain_training(self, objectives: dict | None) -> None:
        model, other = build(objectives), plain()
        assert list(model.state_dict()) == list(other.state_dict())
        torch.testing.assert_close(model.loss(*batch()), other.loss(*batch()), rtol=0, atol=0)

    @pytest.mark.parametrize(
        ('dropped', 'expected'),
        [
            ({}, 'objectives: teacher, maps_1'),
            # The names of two objectives may be close.
            (dict(other=None, maps_2=None), 'objectives: teacher, maps_1 (dropped: other, maps_2)'),
        ],
    )
    def test_the_log_names_them(self, dropped: dict, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        monkeypatch.setattr(multi_label_classifier, 'print_log', lambda text, **_: seen.append(text))
        build(dict(teacher=distillation(), maps_1=consistency(FLIP), **dropped))
        assert seen == [expected]

    def test_a_list_of_necks(self) -> None:
        """Features are those of the backbone; maps of labels are those that are pooled."""
        spy = Spy(needs_maps=True)
        model = build(dict(spy=spy), neck=[Halve(), POOLING])
        images, samples = batch(side=128)
        model.loss(images, samples)
        feature = model.backbone(images)[-1]
        torch.testing.assert_close(spy.seen[0].image.feature, feature)
        halved = F.avg_pool2d(feature, 2)
        torch.testing.assert_close(model(images), model.head.fc(halved.mean((2, 3))))
        maps = torch.einsum('ck,nkhw->nchw', model.head.fc.weight, halved)
        torch.testing.assert_close(spy.seen[0].image.maps, maps)

    def test_an_objective_of_ones_own(self) -> None:
        @MODELS.register_module(name='Target', force=True)
        class Target(Objective):
            """Draws the logits of views to a vector that it learns."""

            needs_logits = True

            def __init__(self, views: list) -> None:
                super().__init__()
                self.views = [TASK_UTILS.build(view) for view in views]
                self.vector = nn.Parameter(torch.ones(3))
                self.starts = 0

            def start(self, device: torch.device) -> None:
                assert device.type == 'cpu'
                self.starts += 1

            def compute_losses(self, step: Step) -> dict[str, Tensor]:
                outputs = [step.image, *step.views.values()]
                target = self.vector.expand(2, -1)
                return {f'view{i}': F.mse_loss(each.logits, target) for i, each in enumerate(outputs)}

        model = build(dict(target=dict(type='mlic_mm.Target', views=[FLIP])))
        images, samples = batch()
        losses = model.loss(images, samples)
        assert list(losses) == ['loss', 'loss_target_view0', 'loss_target_view1']
        torch.testing.assert_close(losses['loss_target_view0'], F.mse_loss(model(images), torch.ones(2, 3)))
        assert 'objectives.target.vector' in model.state_dict()
        assert model.objectives.target.starts == 2  # by init_weights, and for the step


def test_labels_that_are_not_known_are_left_out() -> None:
    """Of losses of other packages too, here mmpretrain's."""
    head = dict(LINEAR, loss=dict(type='CrossEntropyLoss', use_sigmoid=True))
    model = build(dict(maps=consistency(FLIP)), head=head)
    images, samples = batch(1)
    samples[0].set_gt_score(torch.tensor([1.0, -1.0, 0.0]))
    logits = torch.cat([model(images), model(images.flip(-1))])[:, [0, 2]]
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor([[1.0, 0.0]] * 2), reduction='sum') / 2
    torch.testing.assert_close(model.loss(images, samples)['loss'], expected)
