"""What objectives of one's own may ask for: lists of losses, logits alone, figures without maps."""

from typing import Any

import pytest
import torch
from objective_parts import WSDDN, batch, build, distillation

from mlic_mm.models import FlipView, Objective
from mlic_mm.models.objectives import Step


class Own(Objective):
    """Keeps what it sees."""

    def __init__(self, alone: bool = False, measures: bool = False, **needs: Any) -> None:
        super().__init__()
        self._alone = alone
        self.measures = measures
        self.steps: list[Step] = []
        for name, value in needs.items():
            setattr(self, name, value)

    @property
    def alone(self) -> bool:
        return self._alone

    def compute_losses(self, step: Step) -> dict[str, torch.Tensor]:
        self.steps.append(step)
        return {'': step.image.feature.mean()}

    def measure(self, step: Step) -> dict[str, list]:
        return {'own': [step.views['flip'].logits is not None] * len(step.samples)}


def test_logits_of_an_objective_that_is_alone() -> None:
    own = Own(alone=True, needs_logits=True)
    losses = build(dict(own=own)).loss(*batch())
    assert list(losses) == ['loss_own']
    assert own.steps[0].image.logits is not None


def test_figures_of_a_head_without_maps() -> None:
    own = Own(measures=True, views=[FlipView()])
    model = build(dict(own=own), neck=None, head=WSDDN)
    images, samples = batch(proposals=True)
    expected = [sample.pred_score for sample in build(neck=None, head=WSDDN).predict(images, batch(proposals=True)[1])]
    found = model.predict(images, samples)
    assert all(sample.own for sample in found)
    torch.testing.assert_close([sample.pred_score for sample in found], expected)


@pytest.mark.parametrize('views', [[], [FlipView()]])
def test_lists_of_losses(views: list) -> None:
    """A head of mmpretrain also gives its accuracy, in a list, and mmdet's heads give a loss for each level."""
    model = build(dict(own=Own(views=views)))
    plain = model.head.loss
    model.head.loss = lambda feats, samples: plain(feats, samples) | dict(loss_levels=[torch.ones(()), torch.ones(())])
    model.own_loss = True
    losses = model.loss(*batch())
    assert sum(losses['loss_levels']) == 2
    assert losses['loss'] > 0


def test_a_teacher_follows_the_images() -> None:
    """Whatever a copy of the student, or a move that its data preprocessor did not notice, has left."""
    model = build(dict(teacher=distillation()))
    expected = model.loss(*batch())['loss_teacher_soft']
    teacher = model.objectives.teacher.teacher.model
    teacher.data_preprocessor._device = torch.device('meta')
    torch.testing.assert_close(model.loss(*batch())['loss_teacher_soft'], expected)
    assert teacher.data_preprocessor.device == torch.device('cpu')
