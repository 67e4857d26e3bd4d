"""Two real processes train as one: gradients, validation, resuming."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from test_dist_run import free_port
from test_train_resume import assert_same, state
from tiny_run import ToolProcess, run, write_config

pytestmark = pytest.mark.process

# Nothing random, nothing that depends on how the batch is divided; every step is kept.
PLAIN_STEPS = """
model['backbone'].update(norm_cfg=dict(type='GN', num_groups=2), drop_path_rate=0.0)
train_dataloader['dataset']['pipeline'] = [load, pack]
train_dataloader['sampler']['shuffle'] = False
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))
param_scheduler = None
default_hooks['checkpoint'] = dict(by_epoch=False, interval=1, max_keep_ckpts=-1)
train_cfg['max_epochs'] = 1
val_cfg = val_dataloader = val_evaluator = None
"""
AVERAGED = """
custom_hooks = [dict(type='EMAHook', momentum=0.1, update_buffers={})]
"""


def train_by_two(config: Path, *words: str, cwd: Path) -> str:
    """Train by two processes connected by gloo, and return what the first one said."""
    world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port(), CUDA_VISIBLE_DEVICES='')
    ranks = [
        ToolProcess(
            'train.py', config, '--launcher', 'pytorch', *words, cwd=cwd, RANK=str(r), LOCAL_RANK=str(r), **world
        )
        for r in (0, 1)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]
    return ranks[0].output


@pytest.mark.parametrize('unused', [False, True])
def test_steps_of_two_processes_are_those_of_one(tmp_path: Path, unused: bool) -> None:
    """Also the first step, whose gradients were scrambled; with find_unused_parameters those of every step were."""
    config = write_config(tmp_path / 'data', images=12, extra=PLAIN_STEPS + f'find_unused_parameters = {unused}\n')
    run('train.py', config, '--work-dir', 'one', '--cfg-options', 'train_dataloader.batch_size=4', cwd=tmp_path)
    train_by_two(config, '--work-dir', 'two', '--cfg-options', 'train_dataloader.batch_size=2', cwd=tmp_path)
    for step in (1, 2, 3):
        one, two = (
            torch.load(tmp_path / f'{name}/iter_{step}.pth', weights_only=False)['state_dict']
            for name in ('one', 'two')
        )
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=f'step {step}, {name}')


@pytest.mark.parametrize(
    'extra', ['', AVERAGED.format(False), AVERAGED.format(True)], ids=['plain', 'ema', 'ema-buffers']
)
def test_log_of_two_processes_describes_the_checkpoint(tmp_path: Path, extra: str) -> None:
    config = write_config(tmp_path / 'data', images=21, extra=extra)
    by_iteration = ['train_cfg.max_epochs=2', 'default_hooks.checkpoint.max_keep_ckpts=-1']
    log = train_by_two(config, '--work-dir', 'two', '--cfg-options', *by_iteration, cwd=tmp_path)
    logged = re.findall(r'Epoch\(val\) \[\d\]\[\d/\d\].* mAP: ([\d.]+)', log)
    assert len(logged) == 2
    for epoch, figure in enumerate(logged, 1):
        output = run('test.py', config, f'two/epoch_{epoch}.pth', '--no-report', '--work-dir', 't', cwd=tmp_path)
        assert f' mAP: {figure} ' in output, f'epoch {epoch}: logged {figure}, tested {output[-600:]}'


def test_resuming_by_two_processes_is_exact(tmp_path: Path) -> None:
    """From the middle of an epoch and from its end, with batch normalisation and averaged weights."""
    every = "default_hooks['checkpoint'] = dict(by_epoch=False, interval=1, max_keep_ckpts=-1)\n"
    config = write_config(tmp_path / 'data', images=12, extra=AVERAGED.format(False) + every)
    train_by_two(config, '--work-dir', 'full', '--cfg-options', 'train_cfg.max_epochs=2', cwd=tmp_path)
    expected = state(tmp_path / 'full', 'iter_4.pth')
    for start in (1, 2):
        (tmp_path / f'from{start}').mkdir()
        shutil.copy(tmp_path / f'full/iter_{start}.pth', tmp_path / f'from{start}')
        words = ['--work-dir', f'from{start}', '--resume', '--cfg-options', 'train_cfg.max_epochs=2']
        train_by_two(config, *words, cwd=tmp_path)
        assert_same(state(tmp_path / f'from{start}', 'iter_4.pth'), expected, f'resumed from iteration {start}')
