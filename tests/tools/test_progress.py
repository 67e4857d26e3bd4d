"""The bar of the set-up and the demo: what a log file shows of it."""

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def lines_of(body: str) -> list[str]:
    code = f'import progress, time\nprogress.LOG_EVERY_S = 0.2\n{body}'
    return subprocess.run([sys.executable, '-c', code], cwd=TOOLS, capture_output=True, text=True).stdout.splitlines()


def test_a_silent_job_shows_that_it_is_alive() -> None:
    lines = lines_of("with progress.Bar('compiling') as bar:\n    bar.update(1, 3)\n    time.sleep(1)")
    assert len(lines) >= 3
    assert lines[0] == f'compiling [{"#" * 10}{"." * 20}] 1/3 0:00'


def test_the_last_line_is_where_the_job_ended() -> None:
    lines = lines_of("with progress.Bar('training') as bar:\n    bar.update(80, 80, 'mAP 71.2')")
    assert lines == [f'training [{"#" * 30}] 80/80 0:00 mAP 71.2']


def test_a_failed_job_is_not_shown_as_done() -> None:
    lines = lines_of("with progress.Bar('drawing') as bar:\n    raise SystemExit(1)")
    assert lines == [f'drawing [{"." * 30}] 0:00']


def test_minutes_and_seconds() -> None:
    assert lines_of('print(progress.clock(59.9), progress.clock(754))') == ['0:59 12:34']
