"""tools/train.py in processes of its own: options, interruption, and what a work dir may hold."""

import shutil
import signal
from pathlib import Path

import pytest
import torch
from run_tool import run_failing_tool, run_tool
from tiny_run import CLASSES, ToolProcess, write_config

pytestmark = pytest.mark.integration


class Writes:
    """Pickles to a call that writes a file: what a stranger's checkpoint may carry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_run_keeps_the_best_and_the_last_two(trained: Path) -> None:
    names = {path.name for path in (trained / 'full').glob('*.pth')}
    assert {'epoch_2.pth', 'epoch_3.pth'} < names
    (best,) = (name for name in names if name.startswith('best_mAP_epoch_'))
    log = (trained / 'log.txt').read_text()
    scores = [float(line.split('mAP: ')[1].split()[0]) for line in log.splitlines() if 'mAP: ' in line]
    assert len(scores) == 3
    assert best == f'best_mAP_epoch_{1 + scores.index(max(scores))}.pth'
    meta = torch.load(trained / 'full' / best, weights_only=False)['meta']
    assert tuple(meta['dataset_meta']['classes']) == CLASSES


@pytest.mark.process
def test_interrupt_leaves_a_resumable_work_dir(config: Path, tmp_path: Path) -> None:
    arguments = ['--cfg-options', 'train_cfg.max_epochs=9', '--work-dir', 'w d']
    process = ToolProcess('train.py', config, *arguments, cwd=tmp_path)
    assert process.signal_at('Epoch(train) [2][1/3]', signal.SIGINT) == 130
    assert f"'{config}' --cfg-options train_cfg.max_epochs=9 --work-dir 'w d' --resume" in process.output
    assert 'Traceback' not in process.output
    # What other packages say while they are imported is for the log file.
    (log,) = tmp_path.glob('w d/*/*.log')
    assert 'while importing: Could not import OneDL' in log.read_text()
    assert 'OneDL' not in process.output
    output = run_tool('train', config, '--work-dir', 'w d', '--resume', cwd=tmp_path)
    assert 'resuming from w d/epoch_1.pth' in output
    assert (tmp_path / 'w d/epoch_3.pth').is_file()


@pytest.mark.process
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_say_how_to_go_on_too(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    words = ['--work-dir', 'w', '--cfg-options', 'train_cfg.max_epochs=9', 'train_dataloader.num_workers=1']
    process = ToolProcess('train.py', config, *words, cwd=tmp_path)
    assert process.signal_at('Epoch(train) [2][1/3]', number) == 128 + number
    assert process.output.rstrip().endswith('num_workers=1 --resume')
    assert 'Traceback' not in process.output


@pytest.mark.process
def test_a_signal_before_the_training(config: Path, trained: Path, tmp_path: Path) -> None:
    """While it looks for the newest of the checkpoints, or moves an earlier run aside."""
    shutil.copytree(trained / 'full', tmp_path / 'w')
    process = ToolProcess('train.py', config, '--work-dir', 'w', '--resume', cwd=tmp_path)
    assert process.signal_at('resuming from w/epoch_3.pth', signal.SIGTERM) == 128 + signal.SIGTERM
    assert 'epoch_3.pth is saved. To continue:' in process.output or 'start again with the same' in process.output
    assert 'Traceback' not in process.output


@pytest.mark.process
def test_one_training_at_a_time_in_a_work_dir(config: Path, tmp_path: Path) -> None:
    words = [config, '--work-dir', 'w', '--cfg-options', 'train_cfg.max_epochs=999', 'train_dataloader.num_workers=1']
    first = ToolProcess('train.py', *words, cwd=tmp_path)
    while 'Saving checkpoint at 2 epochs' not in first.output:
        assert first.process.is_alive(), first.output[-2000:]
    for more in ([], ['--resume']):
        output = run_failing_tool('train', *words, *more, cwd=tmp_path)
        assert f'error: w is in use: process {first.process.pid} on ' in output
        assert 'give another --work-dir' in output
    # A killed training holds nothing, though its loader's workers live for some seconds.
    first.process.kill()
    first.wait()
    run_tool('train', *words[:3], '--cfg-options', 'train_cfg.max_epochs=1', cwd=tmp_path)
    assert len(list((tmp_path / 'w').glob('earlier_*'))) == 1


@pytest.mark.process
def test_killed_during_the_first_checkpoint(config: Path, tmp_path: Path) -> None:
    """Job scripts always give --resume."""
    words = [config, '--work-dir', 'w', '--resume', '--cfg-options', 'train_cfg.max_epochs=2']
    process = ToolProcess('train.py', *words, cwd=tmp_path, file_limit=80_000)
    assert process.wait() == -signal.SIGXFSZ
    assert 'Saving checkpoint at 1 epochs' in process.output
    assert not list((tmp_path / 'w').glob('*.pth'))
    assert 'no checkpoint in w: starting anew' in run_tool('train', *words, cwd=tmp_path)
    assert (tmp_path / 'w/epoch_2.pth').is_file()

    # Those of earlier versions, or of a full disk: nothing whole is left.
    for path in (tmp_path / 'w').glob('epoch_*.pth'):
        path.write_bytes(path.read_bytes()[:50_000])
    output = run_tool('train', *words, cwd=tmp_path)
    assert 'passed over: checkpoint w/epoch_2.pth is cut short' in output
    assert 'no whole checkpoint in w: starting anew' in output
    assert {path.name for path in (tmp_path / 'w').glob('earlier_*/epoch*')} == {'epoch_1.pth', 'epoch_2.pth'}


def test_second_start_moves_the_first_aside(config: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / 'full', tmp_path / 'w')
    before = (tmp_path / 'w/epoch_3.pth').read_bytes()
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    output = run_tool('train', config, '--work-dir', 'w', *options, cwd=tmp_path)
    assert 'held an earlier run' in output
    (moved,) = (tmp_path / 'w').glob('earlier_*/epoch_3.pth')
    assert moved.read_bytes() == before
    assert not (tmp_path / 'w/epoch_3.pth').exists()
    start = ['--cfg-options', 'load_from=w/epoch_1.pth']
    assert 'give another --work-dir' in run_failing_tool('train', config, '--work-dir', 'w', *start, cwd=tmp_path)
    assert (tmp_path / 'w/epoch_1.pth').is_file()


def test_truncated_newest_falls_back_to_the_one_before(config: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / 'full', tmp_path / 'w')
    newest = tmp_path / 'w/epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:100_000])
    output = run_tool('train', config, '--work-dir', 'w', '--resume', cwd=tmp_path)
    assert 'passed over: checkpoint w/epoch_3.pth is cut short' in output
    assert 'resuming from w/epoch_2.pth' in output
    whole = torch.load(trained / 'full/epoch_3.pth', weights_only=False)['state_dict']
    again = torch.load(newest, weights_only=False)['state_dict']
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())

    newest.write_bytes(newest.read_bytes()[:100_000])
    output = run_failing_tool('train', config, '--work-dir', 'w', '--resume', 'w/epoch_3.pth', cwd=tmp_path)
    assert 'w/epoch_3.pth is cut short' in output
    assert 'also has epoch_2.pth' in output
    output = run_failing_tool('train', config, '--work-dir', 'w', '--resume', 'w/epoch_7.pth', cwd=tmp_path)
    assert 'no checkpoint w/epoch_7.pth' in output
    assert 'epoch_2.pth' in output


def test_a_start_that_fails_leaves_the_earlier_run(config: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / 'full', tmp_path / 'w')
    (tmp_path / 'w/.training.lock').unlink()
    before = {path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / 'w').rglob('*') if path.is_file()}
    wrong = ['optim_wrapper.optimizer.lr=-1', 'model.head.num_classes=5', 'train_dataloader.collate_fn.type=no']
    for option in wrong:
        run_failing_tool('train', config, '--work-dir', 'w', '--cfg-options', option, cwd=tmp_path)
    assert all((tmp_path / path).read_bytes() == content for path, content in before.items())
    assert 'resuming from w/epoch_3.pth' in run_tool('train', config, '--work-dir', 'w', '--resume', cwd=tmp_path)


@pytest.mark.parametrize('way', ['resume', 'resume-auto', 'load_from', 'init_cfg', 'test'])
def test_checkpoint_with_code_is_refused(way: str, config: Path, trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained / 'full/epoch_3.pth', weights_only=False)
    checkpoint['extra'] = Writes(tmp_path / 'executed')
    (tmp_path / 'w').mkdir()
    bad = tmp_path / 'w/epoch_3.pth'
    torch.save(checkpoint, bad)
    torch.load(bad, weights_only=False)
    assert (tmp_path / 'executed').exists()  # the trap works
    (tmp_path / 'executed').unlink()

    pretrained = [f'model.backbone.init_cfg.{key}' for key in ('type=Pretrained', f'checkpoint={bad}')]
    words = {
        'resume': ['train', config, '--work-dir', 'new', '--resume', bad],
        'resume-auto': ['train', config, '--work-dir', 'w', '--resume'],
        'load_from': ['train', config, '--work-dir', 'new', '--cfg-options', f'load_from={bad}'],
        'init_cfg': ['train', config, '--work-dir', 'new', '--cfg-options', *pretrained],
        'test': ['test', config, bad, '--work-dir', 'new'],
    }[way]
    # The environment may try to open the door again.
    output = run_failing_tool(*words, cwd=tmp_path, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD='1')
    assert 'it was refused and nothing of it was executed' in output
    assert bad.name in output
    assert not (tmp_path / 'executed').exists()


def test_resume_does_not_execute_the_config_in_a_checkpoint(config: Path, trained: Path, tmp_path: Path) -> None:
    """mmengine evaluates ``meta['config']`` as Python while resuming, which no restriction of pickle can stop."""
    checkpoint = torch.load(trained / 'full/epoch_2.pth', weights_only=False)
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path({str(tmp_path / "executed")!r}).touch()\n'
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    run_tool('train', config, '--work-dir', 'w', '--resume', 'epoch_2.pth', cwd=tmp_path)
    assert not (tmp_path / 'executed').exists()


def test_amp_and_scaled_learning_rate_on_cpu(config: Path, tmp_path: Path) -> None:
    options = ['--cfg-options', 'train_cfg.max_epochs=2', 'default_hooks.label_check=None', 'param_scheduler=None']
    output = run_tool('train', config, '--amp', '--auto-scale-lr', *options, cwd=tmp_path, CUDA_VISIBLE_DEVICES='')
    assert 'lr: 2.5000e-02' in output  # 0.05 for the base batch size 8, this one is 4
    # The screen is spared what only the log file needs.
    (file,) = tmp_path.glob('work_dirs/tiny config/*/*.log')
    log = file.read_text()
    assert "type='mlic_mm.CPUAmpOptimWrapper'" in log
    assert '(VERY_HIGH   ) LabelCheckHook' not in log
    assert 'ExactResumeHook' in log
    for text in ('CPUAmpOptimWrapper', 'ExactResumeHook', 'System environment', 'FileClient'):
        assert text not in output
    # Without --work-dir it is named after the config, in the current folder.
    assert (tmp_path / 'work_dirs/tiny config/epoch_2.pth').is_file()


def test_scaling_needs_a_base(tmp_path: Path) -> None:
    config = write_config(tmp_path, extra='del auto_scale_lr\n')
    output = run_failing_tool('train', config, '--auto-scale-lr', cwd=tmp_path)
    assert 'add auto_scale_lr = dict(base_batch_size=32)' in output
