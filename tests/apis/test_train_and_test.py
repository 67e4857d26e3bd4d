"""Training and testing from Python, without a command line."""

from pathlib import Path

import pytest
from run_tool import run_apart
from tiny_run import write_config

from mlic_mm.apis import test as test_job
from mlic_mm.apis import train as train_job
from mlic_mm.apis.train import TrainingStopped
from mlic_mm.cli.stop import StopSignal

SHORT = {'train_cfg.max_epochs': 1}


@pytest.mark.integration
def test_a_training_and_its_test(tmp_path: Path) -> None:
    config = write_config(tmp_path / 'data')
    with run_apart(tmp_path):
        folder = train_job.train(config, work_dir='w', seed=1, options=SHORT)
    assert folder == Path('w')
    with run_apart(tmp_path):
        figures = test_job.test(config, folder / 'epoch_1.pth', work_dir='w', out='scores.npz', report=False)
    assert 0 < figures['mAP'] <= 100
    assert (tmp_path / 'scores.npz').is_file()
    assert not (tmp_path / 'w/report').exists()


@pytest.mark.integration
def test_a_training_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path / 'data')

    def stop(_: object) -> None:
        raise StopSignal(15)

    monkeypatch.setattr(train_job, 'check_monitors', stop)
    with run_apart(tmp_path), pytest.raises(TrainingStopped) as caught:
        train_job.train(config, work_dir='w', options=SHORT)
    assert caught.value.status == 143
    assert 'before the first checkpoint' in caught.value.how_to_go_on(['train.py', 'c.py'])


@pytest.mark.parametrize(
    ('words', 'launcher', 'command'),
    [
        (['python', 'train.py', 'a b.py', '--resume'], 'none', "python train.py 'a b.py' --resume"),
        (['python', 'train.py', '--resume', 'x.pth', '--amp'], 'none', 'python train.py --amp --resume'),
        (['python', 'train.py', '--resume', '--amp'], 'none', 'python train.py --amp --resume'),
        (['python', 'train.py'], 'pytorch', 'the same command with --resume'),
    ],
)
def test_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], launcher: str, command: str
) -> None:
    monkeypatch.setattr(train_job, 'find_resumable', lambda _: (tmp_path / 'epoch_2.pth', []))
    said = TrainingStopped(KeyboardInterrupt(), 'w', launcher).how_to_go_on(words)
    assert said == f'\ninterrupted; epoch_2.pth is saved. To continue:\n  {command}'
    assert TrainingStopped(KeyboardInterrupt(), 'w', launcher).status == 130
    anew = TrainingStopped(KeyboardInterrupt(), None, launcher).how_to_go_on(words)
    assert anew == '\ninterrupted before the training began: start again with the same command'


def test_invalid_options(tmp_path: Path) -> None:
    config = write_config(tmp_path / 'data')
    with pytest.raises(ValueError, match=r'seed=-1 must be a whole number at least 0 and below 4294967296'):
        train_job.train(config, work_dir=tmp_path / 'w', seed=-1)
    with pytest.raises(ValueError, match='--tta mirror: a view is flip or a size'):
        test_job.test(config, 'x.pth', work_dir=tmp_path / 'w', views=['mirror'])
    with pytest.raises(ValueError, match=r'name the file scores\.npz'):
        test_job.test(config, 'x.pth', work_dir=tmp_path / 'w', out='scores.pkl')
