"""The tools of a clone: started from anywhere, stopped at any time, and without logic of their own."""

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import REPO, ToolProcess

ALONE = ('_clone', 'processes', 'progress', 'setup_env')
"""What is no tool with a job behind it."""
TOOLS = sorted(path.stem for path in (REPO / 'tools').glob('*.py') if path.stem not in ALONE)
EARLY = '\ninterrupted before the training began: start again with the same command\n'


@pytest.mark.parametrize('tool', TOOLS)
def test_a_tool_has_no_logic(tool: str) -> None:
    """It parses its options and calls a job of the package."""
    text = (REPO / 'tools' / f'{tool}.py').read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 70
    tree = ast.parse(text)
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert set(functions) <= {'main', 'parse', 'parse_args'}
    assert 'import _clone' in text
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While | ast.With)]
    assert not loops


@pytest.mark.process
def test_each_tool_starts(tmp_path: Path) -> None:
    jobs = [ToolProcess(f'{tool}.py', '--help', cwd=tmp_path) for tool in TOOLS]
    for tool, job in zip(TOOLS, jobs, strict=True):
        assert job.wait() == 0, job.output
        assert job.output.startswith('usage: '), tool
        assert '--debug' in job.output


@pytest.mark.process
def test_a_linked_folder_of_tools_runs_its_own_clone(tmp_path: Path) -> None:
    """As ``mim`` runs them, from the links of an editable install."""
    (tmp_path / 'mim').mkdir()
    (tmp_path / 'mim/tools').symlink_to(REPO / 'tools')
    command = [sys.executable, tmp_path / 'mim/tools/compare_scores.py', '--a', 'x.npz', '--b', 'y.npz']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.startswith('error: no score file at x.npz: ')


@pytest.mark.process
def test_a_tool_says_what_is_missing(tmp_path: Path) -> None:
    """Started as users do, outside the repository, by an interpreter that has no MM packages."""
    tool = REPO / 'tools/train.py'
    done = subprocess.run([sys.executable, '-ESs', tool, 'x.py'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert 'pip install' in done.stderr
    assert 'mmpretrain' in done.stderr


@pytest.mark.process
@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='Linux tells which signals a process handles')
@pytest.mark.parametrize(
    ('tool', 'number', 'output'),
    [('train', signal.SIGTERM, EARLY), ('fuse_scores', signal.SIGINT, '\ninterrupted\n')],
)
def test_a_signal_during_the_imports(tmp_path: Path, tool: str, number: signal.Signals, output: str) -> None:
    """They take seconds, in which nothing of the package is there to say anything."""
    process = subprocess.Popen(
        [sys.executable, REPO / f'tools/{tool}.py', 'x'], cwd=tmp_path, stdout=-1, stderr=-2, text=True
    )
    status = Path(f'/proc/{process.pid}/status')
    # Python itself handles SIGINT from its start; the tool handles SIGTERM right after it.
    while not int(re.search(r'SigCgt:\s*(\w+)', status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1:  # type: ignore[index]
        assert process.poll() is None
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == output
