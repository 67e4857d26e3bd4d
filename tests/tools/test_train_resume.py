"""An interrupted training, killed for real at a random iteration, ends with the bits of an uninterrupted one."""

import os
import random
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from run_tool import run_failing_tool, run_tool
from tiny_run import ToolProcess, run, write_config

pytestmark = pytest.mark.integration

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


def draw_points() -> random.Random:
    """Return what draws the points of a stop. Its seed is printed; ``MLIC_KILL_SEED`` repeats the points."""
    seed = int(os.environ.get('MLIC_KILL_SEED') or random.SystemRandom().randrange(2**32))
    print(f'MLIC_KILL_SEED={seed}')
    return random.Random(seed)


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


@pytest.mark.process
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
    draw = draw_points()
    stage, epoch = draw.choice([('val', 1), ('train', 2), ('val', 2), ('train', 3)])
    point = f'Epoch({stage}) [{epoch}][{draw.randint(1, 3)}/3]'
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
        pytest.param(BY_ITERATION + ITERATION_LOOP, id='iteration-loop', marks=pytest.mark.process),
    ],
)
def test_checkpoint_of_any_iteration_resumes_bit_for_bit(tmp_path: Path, extra: str) -> None:
    config = write_config(tmp_path / 'data', extra=extra)
    run_tool('train', config, '--work-dir', 'full', cwd=tmp_path)
    middle = draw_points().randrange(2, 9)
    (tmp_path / 'part').mkdir()
    shutil.copy(tmp_path / f'full/iter_{middle}.pth', tmp_path / 'part')
    run_tool('train', config, '--work-dir', 'part', '--resume', cwd=tmp_path)
    expected = state(tmp_path / 'full', 'iter_9.pth')
    assert_same(state(tmp_path / 'part', 'iter_9.pth'), expected, f'resumed from iteration {middle}')


def test_other_seed_gives_other_weights(trained: Path) -> None:
    """The comparison above can fail."""
    run_tool('train', 'data/tiny config.py', '--work-dir', 'seed4', '--seed', '4', cwd=trained)
    with pytest.raises(AssertionError, match='differs'):
        assert_same(state(trained / 'seed4', 'epoch_3.pth'), state(trained / 'full', 'epoch_3.pth'), 'seeds')


def test_changed_settings_are_named(trained: Path, tmp_path: Path) -> None:
    """Schedules and rates are those of the checkpoint, the length is that of the config."""
    shutil.copytree(trained / 'full', tmp_path / 'w')
    config = trained / 'data/tiny config.py'
    options = ['train_cfg.max_epochs=4', 'optim_wrapper.optimizer.lr=0.5', 'param_scheduler.1.milestones=[9]']
    output = run_tool('train', config, '--work-dir', 'w', '--resume', '--cfg-options', *options, cwd=tmp_path)
    assert 'resuming: optim_wrapper.optimizer.lr=0.05 holds (checkpoint), not 0.5' in output
    assert 'resuming: param_scheduler.1.milestones=[2] holds (checkpoint), not [9]' in output
    assert 'resuming: train_cfg.max_epochs=4 holds (config), not 3' in output
    assert 'lr: 5.0000e-03' in output  # the fourth epoch goes on at a tenth of 0.05
    assert 'lr=0.05' in (tmp_path / 'w/tiny config.py').read_text()  # what holds, not what was asked for
    output = run_tool('train', config, '--work-dir', 'w', '--resume', '--cfg-options', options[0], cwd=tmp_path)
    assert 'resuming: ' not in output
    checkpoint = torch.load(tmp_path / 'w/epoch_4.pth', weights_only=False)
    torch.save(checkpoint | dict(meta=checkpoint['meta'] | dict(cfg='x = (')), tmp_path / 'w/epoch_4.pth')
    output = run_tool('train', config, '--work-dir', 'w', '--resume', '--cfg-options', options[0], cwd=tmp_path)
    assert 'its settings are not compared with those of the config' in output
    torch.save(checkpoint, tmp_path / 'w/epoch_4.pth')
    words = ('--work-dir', 'w', '--resume', '--cfg-options', 'optim_wrapper.optimizer.type=AdamW')
    assert "type='SGD', the config has 'AdamW': its state does not fit" in run_failing_tool(
        'train', config, *words, cwd=tmp_path
    )


def test_a_copied_run_deletes_nothing_of_the_first(trained: Path, tmp_path: Path) -> None:
    """Checkpoints carry the path of the best one, which is deleted when there is a better one."""
    for name in ('first', 'copy'):
        shutil.copytree(trained / 'full', tmp_path / name)
    checkpoint = torch.load(tmp_path / 'copy/epoch_3.pth', weights_only=False)
    info = checkpoint['message_hub']['runtime_info']
    (best,) = (path.name for path in (tmp_path / 'first').glob('best_*.pth'))
    info |= dict(best_ckpt=str(tmp_path / 'first' / best), best_score=0.0)  # anything is better
    torch.save(checkpoint, tmp_path / 'copy/epoch_3.pth')
    words = ('--work-dir', 'copy', '--resume', '--cfg-options', 'train_cfg.max_epochs=4')
    run_tool('train', trained / 'data/tiny config.py', *words, cwd=tmp_path)
    assert (tmp_path / 'first' / best).is_file()
    assert [path.name for path in (tmp_path / 'copy').glob('best_*.pth')] == ['best_mAP_epoch_4.pth']


def test_averaged_weights_go_on_to_other_labels(tmp_path: Path) -> None:
    config = write_config(tmp_path / 'data', extra="custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n")
    one = ['train_cfg.max_epochs=1']
    run_tool('train', config, '--work-dir', 'four', '--cfg-options', *one, cwd=tmp_path)
    data = tmp_path / 'data/labels.json'
    data.write_text(data.read_text().replace('"bright"]', '"bright", "new"]'))
    options = [*one, 'load_from=four/epoch_1.pth', 'model.head.num_classes=5', 'model.data_preprocessor.num_classes=5']
    output = run_tool('train', config, '--work-dir', 'five', '--cfg-options', *options, cwd=tmp_path)
    (line,) = (line for line in output.splitlines() if 'start anew' in line)
    assert 'checkpoint four/epoch_1.pth: 120 of 122 tensors of the model are taken from it' in line
    assert line.endswith('these start anew, and so do their averages: head.fc.weight, head.fc.bias')
    assert 'size mismatch' not in output
    average, own = (
        torch.load(tmp_path / 'five/epoch_1.pth', weights_only=False)[k] for k in ('state_dict', 'ema_state_dict')
    )
    assert average['head.fc.weight'].shape == own['module.head.fc.weight'].shape == (5, 32)


def test_training_by_iterations_saves_and_names_iterations(tmp_path: Path) -> None:
    """With the default hooks, which count epochs."""
    loop = 'train_cfg = dict(by_epoch=False, max_iters=5, val_interval=2)\n'
    config = write_config(tmp_path / 'data', extra=loop + 'param_scheduler = [warm_up]\n')
    output = run_tool('train', config, '--work-dir', 'w', cwd=tmp_path)
    names = {path.name for path in (tmp_path / 'w').glob('*.pth')}
    assert {'iter_4.pth', 'iter_5.pth'} < names  # the last two
    assert 'Saving checkpoint at 2 iterations' in output
    assert re.search(r'best checkpoint with .* at \d iter is saved to best_mAP_iter_[24]\.pth', output)
    write_config(tmp_path / 'data', extra=loop)
    output = run_failing_tool('train', config, '--work-dir', 'w2', cwd=tmp_path)
    assert 'param_scheduler.1 (MultiStepLR) counts epochs, and a training by iterations has none' in output
