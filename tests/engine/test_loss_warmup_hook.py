"""The weight of a loss grows with the number of the iteration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.hooks import LossWarmupHook

pytestmark = pytest.mark.integration

BuildRunner = Callable[..., Runner]
FLIP: dict[str, Any] = dict(type='mlic_mm.FlipView')
LOSS = 'objectives.consistency.loss'


class Recorder(Hook):
    """Notes the weight that every iteration is computed with, and what came of it."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.weights: list[float] = []
        self.losses: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.weights.append(runner.model.objectives.consistency.loss.loss_weight)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append(outputs['loss_consistency'].item())


def options(iters: int, weight: float = 8.0) -> dict[str, Any]:
    """11 images in batches of 4: three iterations an epoch, two epochs."""
    loss = dict(type='mlic_mm.AttentionConsistencyLoss', loss_weight=weight)
    return dict(
        model__type='mlic_mm.MultiLabelClassifier',
        model__objectives=dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=[FLIP], loss=loss)),
        custom_hooks=[dict(type='mlic_mm.LossWarmupHook', module=LOSS, iters=iters)],
        default_hooks__checkpoint__save_best=None,
    )


def record(runner: Runner) -> Recorder:
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder


def test_ramp_by_hand(runner: BuildRunner) -> None:
    built = runner(**options(4))
    found = record(built)
    assert found.weights == [2, 4, 6, 8, 8, 8]
    assert all(loss > 0 for loss in found.losses)
    assert built.model.objectives.consistency.loss.loss_weight == 8


def test_a_ramp_that_the_training_does_not_reach_the_end_of(runner: BuildRunner) -> None:
    built = runner(**options(16))
    assert record(built).weights == [0.5, 1, 1.5, 2, 2.5, 3]
    assert built.model.objectives.consistency.loss.loss_weight == 8


def test_one_iteration_is_no_ramp(runner: BuildRunner) -> None:
    assert record(runner(**options(1))).weights == [8] * 6


def test_the_weight_is_that_of_the_loss(runner: BuildRunner) -> None:
    """The first step, from the same weights and images, with a quarter of λ and with all of it."""
    quarter, whole = record(runner(**options(4))), record(runner(**options(1)))
    assert whole.losses[0] == pytest.approx(4 * quarter.losses[0], rel=1e-6)


def test_resumed_run_goes_on_where_it_was(runner: BuildRunner, tmp_path: Path) -> None:
    # Not `max_epochs=1`, with which the schedules of a cut training would be others.
    whole = record(runner(**options(5, weight=10.0)))
    path = tmp_path / 'work/epoch_1.pth'
    resumed = record(runner(resume=True, load_from=str(path), **options(5, weight=10.0)))
    assert whole.weights == [2, 4, 6, 8, 10, 10]
    assert resumed.weights == whole.weights[3:]
    assert resumed.losses == whole.losses[3:]


def test_module_of_the_head(runner: BuildRunner) -> None:
    hook = dict(type='mlic_mm.LossWarmupHook', module='head.loss_module', iters=3)
    built = runner(model__head__loss=dict(type='mlic_mm.MultiLabelBCELoss'), custom_hooks=[hook])
    built.train()
    assert built.model.head.loss_module.loss_weight == 1


@pytest.mark.parametrize(
    ('module', 'message'),
    [
        ('consistency', "ImageClassifier has no module 'consistency'"),
        ('head.loss', "ImageClassifier has no module 'head.loss'; did you mean 'head.loss_module'"),
        ('backbone', "module='backbone' is a ResNet without loss_weight: name a loss"),
    ],
)
def test_what_is_no_loss(runner: BuildRunner, module: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner(custom_hooks=[dict(type='mlic_mm.LossWarmupHook', module=module, iters=3)]).train()


def test_a_loss_that_is_left_out(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=f"no module '{LOSS}'"):
        runner(**{**options(3), 'model__objectives__consistency__loss': False}).train()


@pytest.mark.parametrize('iters', [0, -3])
def test_no_iterations(iters: int) -> None:
    with pytest.raises(ValueError, match=f'iters={iters} must be a whole number at least 1'):
        LossWarmupHook('consistency', iters)
