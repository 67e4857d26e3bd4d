"""What is left of objectives in tests, in checkpoints and in copies of a model."""

import copy
from typing import Any

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from objective_parts import (
    FLIP,
    HINT,
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

from mlic_mm.models.objectives import Step
from mlic_mm.safe_load.checkpoint import CheckpointError
from mlic_mm.safe_load.checkpoint_weights import StoredWeights


class TestAtTest:
    def test_equals_the_plain_classifier(self) -> None:
        model, other = build(everything()), plain()
        images, _ = batch()
        assert torch.equal(model(images), other(images))
        scores = [[s.pred_score for s in each(images, mode='predict')] for each in (model, other)]
        assert all(torch.equal(a, b) for a, b in zip(*scores, strict=True))

    def test_makes_no_use_of_objectives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = build(everything())
        for name in ('start', 'compute_losses', 'measure', 'propose'):
            for objective in model.objectives.values():
                monkeypatch.setattr(objective, name, lambda *_, name=name: pytest.fail(f'{name} is called'))
        seen, heads = calls(model.backbone), calls(model.head.fc)
        images, samples = batch()
        model(images)
        model(images, samples, mode='predict')
        assert seen == [(2, 3, SIDE, SIDE)] * 2
        assert heads == [(2, 32)] * 2

    def test_what_two_objectives_measure(self) -> None:
        class Peak(Spy):
            measures = True

            def measure(self, step: Step) -> dict[str, list]:
                return {'peak': step.image.maps.amax((1, 2, 3)).tolist()}

        objectives = dict(maps=consistency(FLIP, measure=True), peak=Peak(), teacher=distillation(student_size=32))
        model = build(objectives)
        looks = calls(model.objectives.teacher.teacher.model.backbone)
        images, samples = batch()
        predicted = model.predict(images, samples)
        assert all(sample.peak > 0 for sample in predicted)
        assert all(list(sample.attention_inconsistency) == ['flip'] for sample in predicted)
        for sample, score in zip(predicted, model(images).sigmoid(), strict=True):
            torch.testing.assert_close(sample.pred_score, score)
        assert not looks


class TestCheckpoints:
    def test_keys(self) -> None:
        psi = dict(HINT, student_channels=16, teacher_channels=32, teacher_layer='backbone.layer4')
        model = build(dict(maps=consistency(FLIP), teacher=distillation(losses=dict(hint=psi))))
        learnt = [f'objectives.teacher.losses.hint.regressor.{part}' for part in ('weight', 'bias')]
        assert list(model.state_dict()) == [*plain().state_dict(), *learnt]

    def test_the_plain_classifier_takes_them(self) -> None:
        model = build(with_temperatures(), seed=3)
        other = plain()
        found = other.load_state_dict(model.state_dict(), strict=False)
        assert not found.missing_keys
        assert found.unexpected_keys
        assert all(name.startswith('objectives.teacher.losses.') for name in found.unexpected_keys)
        images, _ = batch()
        assert torch.equal(other(images), model(images))

    def test_tests_take_plain_checkpoints(self) -> None:
        """What only objectives learn may be missing; what the forward pass needs may not."""
        model, other = build(with_temperatures()), plain(seed=3)
        weights = other.state_dict()
        assert StoredWeights.of(dict(state_dict=weights), 'plain.pth').load_into(model) == []
        images, _ = batch()
        assert torch.equal(model(images), other(images))
        weights.pop('head.fc.bias')
        with pytest.raises(CheckpointError, match=r'plain\.pth lacks .* the first is head\.fc\.bias'):
            StoredWeights.of(dict(state_dict=weights), 'plain.pth').load_into(model)

    def test_what_training_has_learnt_is_loaded_again(self) -> None:
        model, other = build(with_temperatures()), build(with_temperatures(), seed=3)
        nn.init.uniform_(model.objectives.teacher.losses.prediction.student_theta)
        other.load_state_dict(model.state_dict())
        theta = other.objectives.teacher.losses.prediction.student_theta
        assert torch.equal(theta, model.objectives.teacher.losses.prediction.student_theta)


def with_temperatures() -> dict:
    loss = dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=3)
    return dict(maps=consistency(FLIP), teacher=distillation(losses=dict(prediction=loss)))


class TestCopies:
    @pytest.mark.parametrize('copied', [copy.deepcopy, lambda model: ExponentialMovingAverage(model).module])
    def test_record_their_own_layers(self, copied: Any) -> None:
        """A copy, as of an EMA hook, trains and compares its own maps; the original does not notice."""
        model = build(dict(spy=Spy(layers=['backbone.layer3']), teacher=distillation(losses=dict(hint=HINT))))
        other = copied(model).train(False)
        with torch.no_grad():
            for parameter in other.backbone.parameters():
                parameter.requires_grad_(True)
                parameter.mul_(1.1)
        optimizer = torch.optim.SGD(other.parameters(), lr=0.01)
        images, samples = batch()
        for _ in range(2):
            optimizer.zero_grad()
            loss = other.loss(images, samples)['loss_teacher_hint']
            loss.backward()
            optimizer.step()
        assert not model.objectives.spy.seen
        assert other.backbone.layer1[0].conv1.weight.grad.abs().sum() > 0
        assert model.backbone.layer1[0].conv1.weight.grad is None
        other.loss(images, samples)
        maps = other.objectives.spy.seen[-1].layers['backbone.layer3']
        torch.testing.assert_close(maps, third_stage(other.backbone, images))
        assert other.layer_maps is not model.layer_maps
        assert len(other.backbone.layer3._forward_hooks) == 1
        assert other.objectives.teacher.teacher is model.objectives.teacher.teacher


def third_stage(backbone: Any, images: Tensor) -> Tensor:
    maps = backbone.maxpool(backbone.relu(backbone.norm1(backbone.conv1(images))))
    return backbone.layer3(backbone.layer2(backbone.layer1(maps)))
