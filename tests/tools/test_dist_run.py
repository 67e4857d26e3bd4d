"""Several processes on the CPU: the same figures as one, also where images do not divide evenly."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import REPO, ToolProcess

from mlic_mm.evaluation import ScoreDump

pytestmark = pytest.mark.process

TEST = ['data/tiny config.py', 'full/epoch_3.pth', '--no-report']


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def figures(output: str) -> str:
    (line,) = (line for line in output.splitlines() if ' mAP: ' in line)
    return line[line.index('mAP: ') : line.index('data_time')]


@pytest.fixture(scope='session')
def single(trained: Path) -> str:
    process = ToolProcess('test.py', *TEST, '--work-dir', 'one', '--out', 'one.npz', cwd=trained)
    assert process.wait() == 0, process.output[-3000:]
    return figures(process.output)


def test_two_processes_give_the_figures_of_one(trained: Path, single: str) -> None:
    world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port(), CUDA_VISIBLE_DEVICES='')
    words = [*TEST, '--launcher', 'pytorch', '--work-dir', 'two', '--out', 'two.npz']
    ranks = [
        ToolProcess('test.py', *words, cwd=trained, RANK=str(rank), LOCAL_RANK=str(rank), **world) for rank in (0, 1)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]
    assert figures(ranks[0].output) == single
    one, two = ScoreDump.load(trained / 'one.npz'), ScoreDump.load(trained / 'two.npz')
    assert list(two.image_ids) == [f'{i:02}' for i in range(11)]  # 11 is odd: the padding of one rank is gone
    assert np.array_equal(one.targets, two.targets)
    assert np.allclose(one.scores, two.scores, atol=1e-6)  # batches differ, and with them the last bit


@pytest.mark.process
def test_shell_scripts_start_two_processes(trained: Path, single: str) -> None:
    env = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}

    def start(script: str, *words: str) -> str:
        command = [REPO / 'tools' / script, *words]
        done = subprocess.run(command, cwd=trained, env={**env, 'PORT': free_port()}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    assert figures(start('dist_test.sh', *TEST[:2], '2', '--no-report', '--work-dir', 'three')) == single
    options = ['--work-dir', 'w d', '--cfg-options', 'train_cfg.max_epochs=1']
    start('dist_train.sh', TEST[0], '2', *options)
    assert any('GPU number: 2' in log.read_text() for log in (trained / 'w d').glob('*/*.log'))
    assert (trained / 'w d/epoch_1.pth').is_file()
    assert 'resuming from w d/epoch_1.pth' in start('dist_train.sh', TEST[0], '2', '--work-dir', 'w d', '--resume')


@pytest.mark.process
def test_shell_scripts_end_as_one_process_does(trained: Path) -> None:
    env = {**os.environ, 'PYTHON': sys.executable, 'PORT': free_port(), 'CUDA_VISIBLE_DEVICES': ''}
    command = [REPO / 'tools/dist_train.sh', TEST[0], '2', '--cfg-options', 'train_cfg.max_epochs=0']
    done = subprocess.run(command, cwd=trained, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == 'error: data/tiny config.py: train_cfg.max_epochs=0 must be a positive whole number\n'


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_shell_scripts_explain_themselves(script: str) -> None:
    done = subprocess.run([REPO / 'tools' / script], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'tools/{script}' in done.stderr
    assert '[options of ' in done.stderr


def test_slurm_script_passes_everything_on(tmp_path: Path) -> None:
    """``srun`` here prints how it was called: there is no cluster to ask."""
    (tmp_path / 'srun').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '2', 'PYTHON': 'python'}
    words = ['part', 'job', 'a config.py', 'work dir', '--amp']
    done = subprocess.run([REPO / 'tools/slurm_train.sh', *words], env=env, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert {'part', '--ntasks=2', '--gres=gpu:2', '--kill-on-bad-exit=1'} <= set(lines)
    assert lines[-7] == str(REPO / 'tools/train.py')
    assert lines[-6:] == ['a config.py', '--work-dir', 'work dir', '--launcher', 'slurm', '--amp']


def test_cluster_launchers_need_a_gpu(trained: Path) -> None:
    process = ToolProcess('test.py', *TEST, '--launcher', 'slurm', cwd=trained, CUDA_VISIBLE_DEVICES='')
    assert process.wait() != 0
    assert '--launcher slurm needs a GPU for every process; without one use --launcher pytorch' in process.output
