"""The stage follows the epoch, also in a run that was stopped, and what a stage does not use does not move."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch import Tensor

from mlic_mm.engine.hooks import DistillStageHook
from mlic_mm.registry import MODELS

BuildRunner = Callable[..., Runner]
State = dict[str, Tensor]


@MODELS.register_module(force=True)
class TwoStageClassifier(ImageClassifier):
    """Has features alone in stage 1, as distillation has."""

    stage: int | None = None

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        if self.stage == 1:
            return dict(loss_features=self.backbone(inputs)[-1].square().mean())
        return super().loss(inputs, data_samples)


class Recorder(Hook):
    """Keeps the stage of every step and the weights at the end of every epoch."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.stages: list[int] = []
        self.states: list[State] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.stages.append(runner.model.stage)

    def before_train(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))

    def after_train_epoch(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))


def copy_of(runner: Runner) -> State:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def two_stages(cfg: Config) -> None:
    cfg.model.type = 'mlic_mm.TwoStageClassifier'


def options(epoch: int, epochs: int, **more: Any) -> dict[str, Any]:
    """AdamW, whose decay would move weights without gradients too, were it let."""
    return dict(
        optim_wrapper__optimizer=dict(_delete_=True, type='AdamW', lr=0.01, weight_decay=0.5),
        param_scheduler=None,
        train_cfg__max_epochs=epochs,
        custom_hooks=[dict(type='mlic_mm.DistillStageHook', epoch=epoch)],
        default_hooks__checkpoint=dict(save_best=None, max_keep_ckpts=-1),
        **more,
    )


def train(runner: Runner) -> Recorder:
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder


def moved(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_stage_2_begins_at_its_epoch(runner: BuildRunner) -> None:
    """11 images, three steps an epoch."""
    found = train(runner(two_stages, **options(3, 4)))
    assert found.stages == [1] * 6 + [2] * 6
    start, _, first, _, second = found.states
    head = {'head.fc.weight', 'head.fc.bias'}
    assert moved(start, first) == set(start) - head
    assert moved(first, second) == set(start)


def test_resumed_run_is_the_same(runner: BuildRunner, tmp_path: Path) -> None:
    """From within stage 2, from its start, and from within stage 1."""
    settings = options(3, 4)
    whole = runner(two_stages, **settings)
    train(whole)
    for after, stages in ((3, [2]), (2, [2, 2]), (1, [1, 2, 2])):
        checkpoint = str(tmp_path / 'work' / f'epoch_{after}.pth')
        resumed = runner(two_stages, resume=True, load_from=checkpoint, **settings)
        assert train(resumed).stages == [stage for stage in stages for _ in range(3)]
        assert not moved(copy_of(whole), copy_of(resumed))


@pytest.mark.parametrize('epoch', [1, 0, -3])
def test_no_epoch_is_left_to_stage_1(epoch: int) -> None:
    with pytest.raises(ValueError, match=f'epoch={epoch} leaves no epoch to stage 1; give 2 or more, or set stage=2'):
        DistillStageHook(epoch)


def test_stage_2_after_the_end(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match='begins at epoch 3, but training ends after 2, before any label was learnt'):
        runner(two_stages, **options(3, 2)).train()


def test_a_model_without_stages(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=r"ImageClassifier has no stages; use type='mlic_mm\.DistillClassifier'"):
        runner(**options(2, 3)).train()


def test_a_loop_without_epochs(runner: BuildRunner) -> None:
    def change(cfg: Config) -> None:
        two_stages(cfg)
        cfg.train_cfg = dict(by_epoch=False, max_iters=2)

    with pytest.raises(ValueError, match=r'IterBasedTrainLoop has none: set train_cfg=dict\(by_epoch=True'):
        runner(change, **options(2, 3)).train()
