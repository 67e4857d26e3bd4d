"""Frozen modules do not move in any way, are released at their epoch, and a resumed run is the same to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.hooks import UnfreezeHook

BuildRunner = Callable[..., Runner]
State = dict[str, torch.Tensor]


class Recorder(Hook):
    """Keeps the state of the model and the optimiser, and the modes, at the end of every epoch."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.states: list[State] = []
        self.moments: list[set[str]] = []
        self.modes: list[set[str]] = []

    def before_train(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.modes.append({name for name, module in runner.model.named_modules() if module.training})

    def after_train_epoch(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))
        known = {name for name, p in runner.model.named_parameters() if p in runner.optim_wrapper.optimizer.state}
        self.moments.append(known)


def copy_of(runner: Runner) -> State:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def options(modules: list[str], epoch: int | None, epochs: int = 3, **more: Any) -> dict[str, Any]:
    """AdamW, whose decay would move weights without gradients too, were it let; a validation after every epoch."""
    return dict(
        optim_wrapper__optimizer=dict(_delete_=True, type='AdamW', lr=0.01, weight_decay=0.5),
        param_scheduler=None,
        train_cfg__max_epochs=epochs,
        custom_hooks=[dict(type='mlic_mm.UnfreezeHook', modules=modules, epoch=epoch)],
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


def test_frozen_until_its_epoch_and_then_trained(runner: BuildRunner) -> None:
    """11 images, three steps an epoch; the backbone, with its statistics, from the third epoch on."""
    built = runner(**options(['backbone'], 3))
    found = train(built)
    start, first, second, third = found.states
    head = {'head.fc.weight', 'head.fc.bias'}
    assert moved(start, first) == moved(first, second) == head
    assert moved(second, third) == set(third)  # weights, statistics and their counters
    assert found.moments == [head, head, {name for name, _ in built.model.named_parameters()}]
    assert [any(name.startswith('backbone') for name in modes) for modes in found.modes] == [False] * 6 + [True] * 3
    assert all('head.fc' in modes for modes in found.modes)


def test_a_part_frozen_for_ever(runner: BuildRunner) -> None:
    built = runner(**options(['backbone.conv1', 'backbone.bn1', 'backbone.layer1'], None, epochs=2))
    found = train(built)
    frozen = ('backbone.conv1', 'backbone.bn1', 'backbone.layer1')
    for before, after in zip(found.states, found.states[1:], strict=False):
        assert moved(before, after) == {name for name in after if not name.startswith(frozen)}
    assert not any(name.startswith(frozen) for names in found.moments for name in names)
    assert all(parameter.requires_grad for parameter in built.model.parameters())  # again, after training
    assert not any(module.training for module in built.model.modules())  # as the last validation left them


def test_validation_amid_an_epoch_leaves_the_mode(runner: BuildRunner) -> None:
    """A loop that counts iterations validates in between, and calls ``model.train()`` afterwards."""

    def change(cfg: Any) -> None:
        cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=2)
        cfg.log_processor = dict(by_epoch=False)
        cfg.default_hooks.checkpoint.by_epoch = False

    built = runner(change, **options(['backbone'], None))
    found = train(built)
    assert moved(found.states[0], copy_of(built)) == {'head.fc.weight', 'head.fc.bias'}
    assert len(found.modes) == 5
    assert not any(name.startswith('backbone') for modes in found.modes for name in modes)


def test_nothing_is_computed_for_frozen_modules(runner: BuildRunner) -> None:
    built = runner(**options(['backbone'], None, epochs=1))

    class NoGradient(Hook):
        def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            assert all(parameter.grad is None for parameter in runner.model.backbone.parameters())
            feats = runner.model.backbone(torch.randn(2, 3, 32, 32, device=outputs['loss'].device))
            assert not feats[-1].requires_grad

    built.register_hook(NoGradient())
    built.train()


@pytest.mark.parametrize('epoch', [2, None])
def test_what_was_fixed_before_stays_so(runner: BuildRunner, epoch: int | None) -> None:
    built = runner(**options(['backbone', 'backbone.layer1'], epoch, epochs=2))
    built.model.backbone.conv1.requires_grad_(False)
    found = train(built)
    assert 'backbone.conv1.weight' not in moved(found.states[0], found.states[-1])
    assert ('backbone.layer1.0.conv1.weight' in moved(found.states[0], found.states[-1])) == (epoch == 2)
    fixed = {name for name, parameter in built.model.named_parameters() if not parameter.requires_grad}
    assert fixed == {'backbone.conv1.weight'}


def test_resumed_run_is_the_same(runner: BuildRunner, tmp_path: Path) -> None:
    """From within the other phase, the end of the frozen one, and within that; with averaged weights beside."""

    def change(cfg: Any) -> None:
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))

    settings = options(['backbone'], 3, epochs=4, train_cfg__val_interval=2)
    whole = runner(change, **settings)
    train(whole)
    theirs = whole.optim_wrapper.optimizer.state_dict()['state']
    for after in (3, 2, 1):
        resumed = runner(change, resume=True, load_from=str(tmp_path / 'work' / f'epoch_{after}.pth'), **settings)
        found = train(resumed)
        assert len(found.states) == 1 + 4 - after
        assert not moved(copy_of(whole), copy_of(resumed))
        ours = resumed.optim_wrapper.optimizer.state_dict()['state']
        assert ours.keys() == theirs.keys()
        for index, state in theirs.items():
            assert all(torch.equal(value, ours[index][name]) for name, value in state.items())


@pytest.mark.parametrize(
    ('modules', 'message'),
    [(['backbon'], "no module 'backbon'"), (['backbone', 'backbone.layer9'], "no module 'backbone.layer9'")],
)
def test_unknown_modules(runner: BuildRunner, modules: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner(**options(modules, 2)).train()


def test_release_needs_epochs(runner: BuildRunner) -> None:
    def change(cfg: Any) -> None:
        cfg.train_cfg = dict(by_epoch=False, max_iters=2)

    with pytest.raises(ValueError, match=r'IterBasedTrainLoop has none: set train_cfg=dict\(by_epoch=True'):
        runner(change, **options(['backbone'], 2)).train()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (([], 2), r"modules=\[\] must be a list of names such as \['backbone'\]"),
        (('backbone', 2), "modules='backbone' must be a list"),
        ((['backbone'], 1), 'epoch=1 releases before the start; give 2 or more, or None'),
        ((['backbone'], 0), 'epoch=0 releases before the start'),
    ],
)
def test_options_that_are_none(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnfreezeHook(*arguments)
