"""The progress bar: what a log file shows of it, and that it needs nothing installed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlic_mm.utils import progress

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def test_a_silent_job_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(progress, 'LOG_EVERY_S', 0.05)
    with progress.Bar('compiling') as bar:
        bar.update(1, 3)
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert lines[0] == f'compiling [{"#" * 10}{"." * 20}] 1/3 0:00'


def test_the_last_line_is_where_the_job_ended(capsys: pytest.CaptureFixture) -> None:
    with progress.Bar('training') as bar:
        bar.update(80, 80, 'mAP 71.2')
    assert capsys.readouterr().out == f'training [{"#" * 30}] 80/80 0:00 mAP 71.2\n'


def test_a_failed_job_is_not_shown_as_done(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(KeyError), progress.Bar('drawing'):
        raise KeyError
    assert capsys.readouterr().out == f'drawing [{"." * 30}] 0:00\n'


def test_minutes_and_seconds() -> None:
    assert (progress.clock(59.9), progress.clock(754)) == ('0:59', '12:34')


@pytest.mark.process
def test_the_set_up_has_it_before_anything_is_installed() -> None:
    """By a Python without any packages."""
    code = 'import setup_env; setup_env.stage(1, 2, "x"); print(setup_env.clock(61), setup_env.Bar("y").label)'
    done = subprocess.run([sys.executable, '-ESs', '-c', code], cwd=TOOLS, capture_output=True, text=True)
    assert done.stdout == '\n[1/2] x\n1:01 y\n', done.stderr
