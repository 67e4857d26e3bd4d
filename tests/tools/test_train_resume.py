"""An interrupted training, killed for real at a random iteration, ends with the bits of an uninterrupted one."""

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import ToolProcess, run, write_config

# What a training can carry from step to step: averaged weights, accumulated gradients, patience, an unseeded sampler.
EVERYTHING = """
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
optim_wrapper['accumulative_counts'] = 2
train_cfg['max_epochs'] = 6  # stopped after 3, since nothing improves by 100
default_hooks['early_stopping'] = dict(type='mlic_mm.EarlyStoppingHook', patience=2, min_delta=100.0)
randomness['seed'] = None
"""
BY_ITERATION = """
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
optim_wrapper['accumulative_counts'] = 2
default_hooks['checkpoint'] = dict(by_epoch=False, interval=1, max_keep_ckpts=-1)
"""
ITERATION_LOOP = """
train_cfg = dict(by_epoch=False, max_iters=9, val_interval=4)
log_processor = dict(by_epoch=False)
param_scheduler = [warm_up]
"""
INFINITE_SAMPLER = "train_dataloader['sampler'] = dict(type='InfiniteSampler')\n"


def state(run_dir: Path, names: str) -> dict[str, dict[str, Any]]:
    """All tensors of the checkpoints: weights, averaged weights, optimiser."""
    tensors: dict[str, dict[str, Any]] = {}
    for path in run_dir.glob(names):
        checkpoint = torch.load(path, weights_only=False)
        parts = {part: checkpoint[part] for part in ('state_dict', 'ema_state_dict', 'optimizer') if part in checkpoint}
        tensors[path.name] = dict(_leaves(parts, ''))
    return tensors


def _leaves(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f'{name}.{key}')
    elif isinstance(value, torch.Tensor):
        yield name, value


def assert_same(found: dict, expected: dict, message: str) -> None:
    assert found.keys() == expected.keys(), message
    for file, tensors in expected.items():
        assert found[file].keys() == tensors.keys(), message
        wrong = [name for name, tensor in tensors.items() if not torch.equal(found[file][name], tensor)]
        assert not wrong, f'{message}: {file} differs in {len(wrong)} of {len(tensors)} tensors, first {wrong[0]}'


def test_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    plain = write_config(tmp_path / 'data', extra=EVERYTHING)
    run('train.py', plain, '--work-dir', 'full', '--seed', '5', cwd=tmp_path)
    expected = state(tmp_path / 'full', '*.pth')
    assert {name for name in expected if name.startswith('epoch')} == {'epoch_2.pth', 'epoch_3.pth'}
    tensors = expected['epoch_3.pth']
    assert {'.state_dict.head.fc.weight', '.ema_state_dict.steps'} <= tensors.keys()
    assert any('momentum_buffer' in name for name in tensors)

    # In another process count of loader workers: neither the interruption nor the workers may show.
    workers = 'train_dataloader.num_workers=2'
    # Anywhere after the first checkpoint and well before the end.
    stage, epoch = random.choice([('val', 1), ('train', 2), ('val', 2), ('train', 3)])
    point = f'Epoch({stage}) [{epoch}][{random.randint(1, 3)}/3]'
    arguments = (plain, '--work-dir', 'killed', '--cfg-options', workers)
    process = ToolProcess('train.py', *arguments, '--seed', '5', cwd=tmp_path)
    assert process.signal_at(point, signal.SIGKILL) == -signal.SIGKILL
    left = sorted(path.name for path in (tmp_path / 'killed').glob('*.pth'))
    output = run('train.py', *arguments, '--resume', cwd=tmp_path)
    assert 'resuming from' in output
    assert_same(state(tmp_path / 'killed', '*.pth'), expected, f'killed at {point} with {left}')


@pytest.mark.parametrize(
    'extra',
    [
        pytest.param(BY_ITERATION, id='inside-an-epoch'),
        pytest.param(BY_ITERATION + ITERATION_LOOP + INFINITE_SAMPLER, id='infinite-sampler'),
        # mmengine sleeps for two seconds whenever this loop begins its data anew.
        pytest.param(BY_ITERATION + ITERATION_LOOP, id='iteration-loop', marks=pytest.mark.slow),
    ],
)
def test_checkpoint_of_any_iteration_resumes_bit_for_bit(tmp_path: Path, extra: str) -> None:
    config = write_config(tmp_path / 'data', extra=extra)
    run('train.py', config, '--work-dir', 'full', cwd=tmp_path)
    middle = random.randrange(2, 9)
    (tmp_path / 'part').mkdir()
    shutil.copy(tmp_path / f'full/iter_{middle}.pth', tmp_path / 'part')
    run('train.py', config, '--work-dir', 'part', '--resume', cwd=tmp_path)
    expected = state(tmp_path / 'full', 'iter_9.pth')
    assert_same(state(tmp_path / 'part', 'iter_9.pth'), expected, f'resumed from iteration {middle}')


def test_other_seed_gives_other_weights(trained: Path) -> None:
    """The comparison above can fail."""
    run('train.py', 'data/tiny config.py', '--work-dir', 'seed4', '--seed', '4', cwd=trained)
    with pytest.raises(AssertionError, match='differs'):
        assert_same(state(trained / 'seed4', 'epoch_3.pth'), state(trained / 'full', 'epoch_3.pth'), 'seeds')
