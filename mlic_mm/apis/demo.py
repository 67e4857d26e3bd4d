"""Train and test on the built-in data set and write a report, with a progress bar instead of logs."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mlic_mm.config_files.config_file import read_config
from mlic_mm.utils.clone import CLONE
from mlic_mm.utils.progress import Bar, clock, stage

__all__ = ['run_demo']

CONFIG = 'configs/deeplift_demo.py'
# The ten lines of GloVe 6B 50d that the demo needs (Pennington et al., public domain: PDDL 1.0) instead of 84 MB.
WORDS = 'tools/demo_words.txt'
WORK_DIR = Path('work_dirs/demo')
PLACE = re.compile(r'Epoch\((train|val|test)\)\s*(?:\[\s*(\d+)\])?\[\s*(\d+)/\s*(\d+)\]')
SCORES = re.compile(r'\b(mAP|CF1|OF1): ([\d.]+)')


def run_demo() -> int:
    """Train and test on the built-in data set and write a report, in ``work_dirs/demo`` of the clone.

    Each stage is a tool in a process of its own. ``tools/train.py`` moves the files of an earlier demo into a folder.

    Returns:
        The exit status: 1 if a tool failed.
    """
    begin = time.monotonic()
    cfg = read_config(CLONE / CONFIG)
    graph = Path(cfg.model.head.label_graph.graph)
    try:
        stage(1, 3, 'data set and label graph')
        if not (CLONE / graph).exists():
            options = ['--word-vectors', WORDS, '--center', '--out', str(graph)]
            _follow('drawing', ['tools/build_label_graph.py', CONFIG, *options])
        print(f'label graph: {graph}')
        stage(2, 3, f'training {CONFIG}')
        _follow('training', ['tools/train.py', CONFIG, '--work-dir', str(WORK_DIR)], cfg.train_cfg.max_epochs)
        stage(3, 3, 'test and report')
        best = max(CLONE.glob(f'{WORK_DIR}/best_*.pth'), key=lambda file: file.stat().st_mtime)
        _follow('testing', ['tools/test.py', CONFIG, str(best.relative_to(CLONE)), '--work-dir', str(WORK_DIR)])
    except subprocess.CalledProcessError as error:
        print(
            f'\n{error.output}\nfailed: {" ".join(error.cmd)}\nits whole output: {WORK_DIR}/demo.log', file=sys.stderr
        )
        return 1
    page = WORK_DIR / 'report' / 'index.html'
    print(f'\ndone in {clock(time.monotonic() - begin)}. Open the report:\n{page}  {(CLONE / page).as_uri()}')
    return 0


def _follow(label: str, words: Sequence[str], epochs: int = 1) -> None:
    """Run a tool, and show a bar instead of its log.

    Raises:
        subprocess.CalledProcessError: The tool failed; holds the last lines of its output.
    """
    command = [sys.executable, '-u', *words]
    log = CLONE / WORK_DIR / 'demo.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    done, total, note = 0, 0, ''
    tail: list[str] = []
    with (
        log.open('a', encoding='utf-8') as out,
        subprocess.Popen(command, cwd=CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child,
        Bar(label) as bar,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            out.write(line)
            tail = [*tail[-24:], line]
            if match := PLACE.search(line):
                phase, epoch, step, steps = match[1], int(match[2] or 1), int(match[3]), int(match[4])
                if phase != 'val':
                    done, total = (epoch - 1) * steps + step, epochs * steps
                if scores := SCORES.findall(line):
                    note = '  '.join(f'{name} {value}' for name, value in scores)
            bar.update(done, total, note)
        if child.wait() != 0:
            raise subprocess.CalledProcessError(child.returncode, command, ''.join(tail))
