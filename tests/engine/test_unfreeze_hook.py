"""Frozen modules do not move in any way, are released at their epoch or when the loss has converged, and a resumed run
is the same to the bit.
"""

import math
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from recorded import StateRecorder, copy_of, decaying, moved, train
from tiny_run import ToolProcess, write_config

from mlic_mm.engine.hooks import UnfreezeHook

BuildRunner = Callable[..., Runner]


class Recorder(StateRecorder):
    """Keeps the state of the model and the optimiser, and the modes, at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[set[str]] = []
        self.modes: list[set[str]] = []
        self.losses: list[list[float]] = []

    def before_train_epoch(self, runner: Runner) -> None:
        self.losses.append([])

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.modes.append({name for name, module in runner.model.named_modules() if module.training})

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses[-1].append(outputs['loss'].item())

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        known = {name for name, p in runner.model.named_parameters() if p in runner.optim_wrapper.optimizer.state}
        self.moments.append(known)


def options(
    modules: list[str],
    epoch: int | None,
    epochs: int = 3,
    patience: int | None = None,
    min_delta: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    unfreeze = dict(type='mlic_mm.UnfreezeHook', modules=modules, epoch=epoch, patience=patience, min_delta=min_delta)
    return decaying(unfreeze, epochs, **more)


@pytest.mark.integration
def test_frozen_until_its_epoch_and_then_trained(runner: BuildRunner) -> None:
    """11 images, three steps an epoch; the backbone, with its statistics, from the third epoch on."""
    built = runner(**options(['backbone'], 3))
    found = train(built, Recorder())
    start, first, second, third = found.states
    head = {'head.fc.weight', 'head.fc.bias'}
    assert moved(start, first) == moved(first, second) == head
    assert moved(second, third) == set(third)  # weights, statistics and their counters
    assert found.moments == [head, head, {name for name, _ in built.model.named_parameters()}]
    assert [any(name.startswith('backbone') for name in modes) for modes in found.modes] == [False] * 6 + [True] * 3
    assert all('head.fc' in modes for modes in found.modes)


@pytest.mark.integration
def test_statistics_kept_after_the_release(runner: BuildRunner) -> None:
    """``norm_eval``: the weights of normalisation layers are trained, what they count is not."""
    changed = options(['backbone'], epoch=2, epochs=2)
    changed['custom_hooks'][0]['norm_eval'] = True
    recorder = train(runner(**changed), Recorder())
    backbone = {name for name in recorder.states[0] if name.startswith('backbone.')}
    counted = {name for name in backbone if 'running_' in name or name.endswith('num_batches_tracked')}
    assert not moved(recorder.states[0], recorder.states[1]) & backbone
    assert moved(recorder.states[1], recorder.states[2]) & backbone == backbone - counted
    norms = {name.rpartition('.')[0] for name in counted}
    assert norms
    for modes, released in ((recorder.modes[0], False), (recorder.modes[-1], True)):
        assert not modes & norms
        assert ('backbone' in modes) == released


def log_of(runner: Runner) -> str:
    (path,) = Path(runner.log_dir).glob('*.log')
    return path.read_text()


@pytest.mark.integration
def test_frozen_until_the_loss_has_converged(runner: BuildRunner) -> None:
    """Released when torch's plateau scheduler, given the means of a run that stays frozen, would lower the rate."""
    frozen = train(runner(**options(['backbone'], None, epochs=7)), Recorder())
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.01)
    converged = []
    for epoch, losses in enumerate(frozen.losses, 1):
        scheduler.step(sum(losses) / len(losses))
        converged += [epoch] if optimizer.param_groups[0]['lr'] < 1 else []
    assert converged
    release = converged[0] + 1
    built = runner(**options(['backbone'], None, epochs=7, patience=1, min_delta=0.01))
    found = train(built, Recorder())
    head = {'head.fc.weight', 'head.fc.bias'}
    names = {name for name, _ in built.model.named_parameters()}
    assert found.moments == [head] * (release - 1) + [names] * (8 - release)
    assert found.losses[: release - 1] == frozen.losses[: release - 1]
    for before, after in zip(found.states[:release], found.states[1:release], strict=False):
        assert moved(before, after) == head  # neither weights nor statistics
    if release <= 7:
        assert moved(found.states[release - 1], found.states[release]) == set(found.states[0])
        assert f'epoch {release}: backbone released: the loss has not fallen by more than 0.01 of' in log_of(built)
    assert not any(name.startswith('backbone') for modes in found.modes[: 3 * release - 3] for name in modes)
    assert all('backbone' in modes for modes in found.modes[3 * release - 3 :])


@pytest.mark.integration
@pytest.mark.parametrize(
    ('release', 'epochs', 'expected', 'message'),
    [
        # What falls by less than 90 % an epoch has converged at once.
        (dict(epoch=None, patience=1, min_delta=0.9), 4, 3, r'released: the loss has not fallen by more than 0\.9 of'),
        (dict(epoch=4, patience=1, min_delta=0.9), 4, 3, r'released: the loss has not fallen by more than 0\.9 of'),
        (dict(epoch=6, patience=3, min_delta=0.9), 4, None, 'backbone stayed frozen to the end, after 4 epochs'),
        (dict(epoch=4, patience=1, min_delta=0), 4, 4, 'released: the epoch that was set'),  # it falls all the time
        (dict(epoch=5), 4, None, 'backbone stayed frozen to the end, after 4 epochs'),
    ],
)
def test_whichever_is_first(
    runner: BuildRunner, release: dict[str, Any], epochs: int, expected: int | None, message: str
) -> None:
    built = runner(**options(['backbone'], epochs=epochs, **release))
    found = train(built, Recorder())
    last = epochs if expected is None else expected - 1
    moving = [
        any(name.startswith('backbone.') for name in moved(*pair))
        for pair in zip(found.states, found.states[1:], strict=False)
    ]
    assert moving == [False] * last + [True] * (epochs - last)
    assert re.search(message, log_of(built))


class Spoil(Hook):
    """Replaces the loss of one iteration, counted from 0, by what is not finite."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration: int, value: float) -> None:
        self.iteration, self.value = iteration, value

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter == self.iteration:
            outputs['loss'] = torch.tensor(self.value)


@pytest.mark.integration
@pytest.mark.parametrize(('iteration', 'value'), [(1, math.nan), (3, math.inf), (5, math.nan)])
def test_a_loss_that_is_not_finite_is_no_convergence(runner: BuildRunner, iteration: int, value: float) -> None:
    """In the first epoch, or the second, which would have released the third."""
    built = runner(**options(['backbone'], None, epochs=4, patience=1, min_delta=0.9))
    built.register_hook(Spoil(iteration, value))
    found = train(built, Recorder())
    assert [len(known) > 2 for known in found.moments] == [False, False, False, True]
    assert f'UnfreezeHook: the loss of epoch {iteration // 3 + 1} is {value}; it does not count' in log_of(built)


@pytest.mark.integration
def test_a_model_that_returns_no_loss(runner: BuildRunner) -> None:
    class NoLoss(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            outputs.clear()

    built = runner(**options(['backbone'], None, patience=1))
    built.register_hook(NoLoss())
    with pytest.raises(ValueError, match='train_step of ImageClassifier returns none: set epoch instead'):
        built.train()


@pytest.mark.integration
def test_a_part_frozen_for_ever(runner: BuildRunner) -> None:
    built = runner(**options(['backbone.conv1', 'backbone.bn1', 'backbone.layer1'], None, epochs=2))
    found = train(built, Recorder())
    frozen = ('backbone.conv1', 'backbone.bn1', 'backbone.layer1')
    for before, after in zip(found.states, found.states[1:], strict=False):
        assert moved(before, after) == {name for name in after if not name.startswith(frozen)}
    assert not any(name.startswith(frozen) for names in found.moments for name in names)
    assert all(parameter.requires_grad for parameter in built.model.parameters())  # again, after training
    assert not any(module.training for module in built.model.modules())  # as the last validation left them


@pytest.mark.integration
def test_validation_amid_an_epoch_leaves_the_mode(runner: BuildRunner) -> None:
    """A loop that counts iterations validates in between, and calls ``model.train()`` afterwards."""

    def change(cfg: Any) -> None:
        cfg.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=2)
        cfg.log_processor = dict(by_epoch=False)
        cfg.default_hooks.checkpoint.by_epoch = False

    built = runner(change, **options(['backbone'], None))
    found = train(built, Recorder())
    assert moved(found.states[0], copy_of(built)) == {'head.fc.weight', 'head.fc.bias'}
    assert len(found.modes) == 5
    assert not any(name.startswith('backbone') for modes in found.modes for name in modes)


@pytest.mark.integration
def test_nothing_is_computed_for_frozen_modules(runner: BuildRunner) -> None:
    built = runner(**options(['backbone'], None, epochs=1))

    class NoGradient(Hook):
        def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            assert all(parameter.grad is None for parameter in runner.model.backbone.parameters())
            feats = runner.model.backbone(torch.randn(2, 3, 32, 32, device=outputs['loss'].device))
            assert not feats[-1].requires_grad

    built.register_hook(NoGradient())
    built.train()


@pytest.mark.integration
@pytest.mark.parametrize('epoch', [2, None])
def test_what_was_fixed_before_stays_so(runner: BuildRunner, epoch: int | None) -> None:
    built = runner(**options(['backbone', 'backbone.layer1'], epoch, epochs=2))
    built.model.backbone.conv1.requires_grad_(False)
    found = train(built, Recorder())
    assert 'backbone.conv1.weight' not in moved(found.states[0], found.states[-1])
    assert ('backbone.layer1.0.conv1.weight' in moved(found.states[0], found.states[-1])) == (epoch == 2)
    fixed = {name for name, parameter in built.model.named_parameters() if not parameter.requires_grad}
    assert fixed == {'backbone.conv1.weight'}


def assert_same(ours: Runner, theirs: Runner) -> None:
    assert not moved(copy_of(ours), copy_of(theirs))
    found, expected = (run.optim_wrapper.optimizer.state_dict()['state'] for run in (ours, theirs))
    assert found.keys() == expected.keys()
    for index, state in expected.items():
        assert all(torch.equal(value, found[index][name]) for name, value in state.items())


@pytest.mark.integration
@pytest.mark.parametrize('release', [dict(epoch=3), dict(epoch=None, patience=1, min_delta=0.9)])
def test_resumed_run_is_the_same(runner: BuildRunner, tmp_path: Path, release: dict[str, Any]) -> None:
    """From within the other phase, the end of the frozen one, and within that; with averaged weights beside."""

    def change(cfg: Any) -> None:
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))

    settings = options(['backbone'], epochs=4, train_cfg__val_interval=2, **release)
    whole = runner(change, **settings)
    train(whole, Recorder())
    for after in (3, 2, 1):
        resumed = runner(change, resume=True, load_from=str(tmp_path / 'work' / f'epoch_{after}.pth'), **settings)
        found = train(resumed, Recorder())
        assert len(found.states) == 1 + 4 - after
        assert [len(known) > 2 for known in found.moments] == [False, False, True, True][after:]
        assert_same(resumed, whole)


@pytest.mark.integration
def test_resumed_within_an_epoch(runner: BuildRunner, tmp_path: Path) -> None:
    """What was added up of the loss goes on, also where all was seen and nothing yet decided."""

    def change(cfg: Config) -> None:
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=-1)

    def seen(iteration: int) -> dict[str, Any]:
        return torch.load(tmp_path / f'work/iter_{iteration}.pth', weights_only=False)['unfreeze']

    settings = options(['backbone'], None, epochs=4, patience=1, min_delta=0.9)
    settings.pop('default_hooks__checkpoint')
    whole = runner(change, **settings)
    losses = train(whole, Recorder()).losses
    states = {iteration: seen(iteration)['backbone'] for iteration in range(1, 13)}
    assert states[2] == dict(best=None, waited=0, converged=None, sum=sum(losses[0][:2]), iterations=2)
    assert states[6] == dict(best=sum(losses[0]) / 3, waited=0, converged=None, sum=sum(losses[1]), iterations=3)
    assert states[7] == dict(best=sum(losses[0]) / 3, waited=1, converged=3, sum=0.0, iterations=0)
    for after in (8, 6, 5, 2):
        path = str(tmp_path / f'work/iter_{after}.pth')
        resumed = runner(change, resume=True, load_from=path, **settings)
        train(resumed, Recorder())
        assert_same(resumed, whole)
        assert all(seen(iteration)['backbone'] == states[iteration] for iteration in range(after + 1, 13))


@pytest.mark.integration
def test_another_run_begins_anew(runner: BuildRunner, tmp_path: Path) -> None:
    """With the weights of one that had released, and with two such hooks, each counting for itself."""

    def change(cfg: Config) -> None:
        part = dict(type='mlic_mm.UnfreezeHook', modules=['backbone.layer4'], patience=2, min_delta=0.9)
        cfg.custom_hooks.append(part)

    settings = options(['backbone.conv1'], None, epochs=4, patience=1, min_delta=0.9)
    for more in ({}, dict(load_from=str(tmp_path / 'work/epoch_4.pth'))):
        found = train(runner(change, **settings, **more), Recorder())
        for name, epoch in (('backbone.conv1.weight', 3), ('backbone.layer4.0.conv1.weight', 4)):
            assert [name in known for known in found.moments] == [number >= epoch for number in (1, 2, 3, 4)]


@pytest.mark.integration
@pytest.mark.parametrize(
    ('modules', 'message'),
    [(['backbon'], "no module 'backbon'"), (['backbone', 'backbone.layer9'], "no module 'backbone.layer9'")],
)
def test_unknown_modules(runner: BuildRunner, modules: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner(**options(modules, 2)).train()


@pytest.mark.integration
@pytest.mark.parametrize('release', [dict(epoch=2), dict(epoch=None, patience=1)])
def test_release_needs_epochs(runner: BuildRunner, release: dict[str, Any]) -> None:
    def change(cfg: Any) -> None:
        cfg.train_cfg = dict(by_epoch=False, max_iters=2)

    with pytest.raises(ValueError, match=r'IterBasedTrainLoop has none: set train_cfg=dict\(by_epoch=True'):
        runner(change, **options(['backbone'], **release)).train()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (([], 2), r"modules=\[\] must be a list of names such as \['backbone'\]"),
        (('backbone', 2), "modules='backbone' must be a list"),
        ((['backbone'], 1), 'epoch=1 must be a whole number at least 2'),
        ((['backbone'], 0), 'epoch=0 must be a whole number at least 2'),
        ((['backbone'], None, 0), 'patience=0 must be a whole number at least 1'),
        ((['backbone'], None, 2, 1.0), 'min_delta=1.0 must be a number at least 0 and below 1'),
        ((['backbone'], None, 2, -0.1), 'min_delta=-0.1 must be a number at least 0'),
        ((['backbone'], None, 2, math.nan), 'min_delta=nan must be a number at least 0'),
        ((['backbone'], 5, None, 0.1), 'min_delta=0.1 needs patience: set it or leave min_delta out'),
        ((['backbone'], 4, 2), 'patience=2 releases at epoch 4 at the earliest, so epoch=4 makes it useless'),
    ],
)
def test_options_that_are_none(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnfreezeHook(*arguments)


# The first process sees a loss that stands from the beginning, the second one that falls to a tenth until the fourth
# epoch; so does their mean. Each tells what it has frozen.
BY_PROCESS = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class ByProcess(Hook):
    priority = 'VERY_HIGH'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = 0.001 if runner.rank == 0 else 0.1 ** min(runner.epoch, 3)
        outputs['loss'] = outputs['loss'] * 0 + loss
        held = runner.model.module.backbone.conv1.weight.requires_grad
        print(f'epoch {runner.epoch + 1} process {runner.rank} {"trains" if held else "holds"}', flush=True)
"""


TWO_PROCESSES = """
import sys

sys.path.insert(0, {folder!r})
custom_imports = dict(imports=['by_process'], allow_failed_imports=False)
unfreeze = dict(type='mlic_mm.UnfreezeHook', modules=['backbone'], patience=1, min_delta=0.5)
custom_hooks = [unfreeze, dict(type='ByProcess')]
default_hooks.update(checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=-1))
find_unused_parameters = True
optim_wrapper['optimizer'] = dict(type='AdamW', lr=0.01, weight_decay=0.5)
train_dataloader['batch_size'] = 2  # three iterations
train_cfg['max_epochs'] = 7
val_dataloader = val_evaluator = val_cfg = None
"""


@pytest.mark.process
def test_two_processes_decide_the_same(tmp_path: Path) -> None:
    """Also resumed within the epoch that decides."""
    (tmp_path / 'by_process.py').write_text(BY_PROCESS)
    write_config(tmp_path / 'data', extra=TWO_PROCESSES.format(folder=str(tmp_path)))

    def train_by_two(*more: str) -> list[set[str]]:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
        words = ['data/tiny config.py', '--launcher', 'pytorch', '--work-dir', 'two', *more]
        ranks = [
            ToolProcess('train.py', *words, cwd=tmp_path, RANK=str(rank), LOCAL_RANK=str(rank), **world)
            for rank in (0, 1)
        ]
        assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]
        return [set(re.findall(r'epoch (\d) process \d (trains|holds)', rank.output)) for rank in ranks]

    def load(iteration: int) -> dict[str, Any]:
        return torch.load(tmp_path / f'two/iter_{iteration}.pth', weights_only=False)

    expected = {(str(epoch), 'holds' if epoch < 6 else 'trains') for epoch in range(1, 8)}
    assert train_by_two() == [expected, expected]
    assert load(14)['unfreeze']['backbone'] == dict(
        best=pytest.approx(0.001), waited=0, converged=None, sum=pytest.approx(0.002), iterations=2
    )
    first, held, freed, last = (load(iteration) for iteration in (1, 15, 16, 21))
    start, end = first['state_dict'], held['state_dict']
    assert moved(start, end) == {'head.fc.weight', 'head.fc.bias'}
    assert moved(end, last['state_dict']) == set(end)
    assert len(held['optimizer']['state']) == 2
    assert len(freed['optimizer']['state']) == len(list(name for name in start if not re.search('mean|var|num', name)))

    assert train_by_two('--resume', 'two/iter_14.pth') == [{pair for pair in expected if int(pair[0]) > 4}] * 2
    assert load(15)['unfreeze'] == held['unfreeze']
    assert not moved(load(21)['state_dict'], last['state_dict'])
