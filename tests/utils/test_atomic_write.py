"""A file appears whole, or what was there stays, and nothing lies beside it."""

import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from mlic_mm.utils.atomic_write import atomic_write, check_can_write


def test_written_at_the_end_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'folder' / 'plot.svg'
    with atomic_write(str(path)) as part:
        assert part.parent.parent == path.parent
        assert part.name == 'plot.svg'
        part.write_text('one')
        assert not path.exists()
    assert path.read_text() == 'one'
    assert os.listdir(path.parent) == ['plot.svg']


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with atomic_write(path) as part:
        part.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert os.listdir(tmp_path) == ['file.txt']


@pytest.mark.parametrize('error', [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / 'file.txt'
    path.write_text('old')

    def fail() -> None:
        with atomic_write(path) as part:
            part.write_text('ne')
            raise error('midway')

    with pytest.raises(error, match='midway'):
        fail()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['file.txt']


@pytest.mark.skipif(os.name != 'posix', reason='links of POSIX')
def test_links_of_others_are_not_followed(tmp_path: Path) -> None:
    """The names of earlier versions could be guessed, and what lay there was written through."""
    (tmp_path / 'theirs').write_text('theirs')
    path = tmp_path / 'file.txt'
    for name in {f'.{threading.get_native_id()}.file.txt', f'.{os.getpid()}.file.txt', '.file.txt', 'file.txt'}:
        (tmp_path / name).symlink_to(tmp_path / 'theirs')
    with atomic_write(path) as part:
        assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
        part.write_text('new')
    assert (tmp_path / 'theirs').read_text() == 'theirs'
    assert path.read_text() == 'new'
    assert not path.is_symlink()


def test_processes_with_equal_numbers_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two containers on one folder: the numbers of process and thread say nothing there."""
    monkeypatch.setattr(threading, 'get_native_id', lambda: 1)
    monkeypatch.setattr(os, 'getpid', lambda: 1)
    path = tmp_path / 'file.txt'
    with atomic_write(path) as first:
        first.write_text('first')
        with atomic_write(path) as second:
            second.write_text('second')
        assert path.read_text() == 'second'
        assert first.read_text() == 'first'
    assert path.read_text() == 'first'


@pytest.mark.parametrize(
    ('name', 'message'),
    [('there/out.npz', 'there is a file, not a folder'), ('folder', 'is a folder; give the name of a file')],
)
def test_paths_that_cannot_be_written_are_found_early(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / 'there').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError, match=message):
        check_can_write(tmp_path / name)
    check_can_write(tmp_path / 'new' / 'out.npz')
    assert sorted(os.listdir(tmp_path)) == ['folder', 'there']


def test_a_failure_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='early'), atomic_write(tmp_path / 'file.txt'):
        raise ValueError('early')
    assert not os.listdir(tmp_path)


def test_what_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / 'taken').mkdir()
    with pytest.raises(OSError, match='taken'), atomic_write(tmp_path / 'taken') as part:
        part.write_text('new')
    assert os.listdir(tmp_path) == ['taken']


def test_a_block_that_writes_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'file\.txt'), atomic_write(tmp_path / 'file.txt'):
        pass


WAIT = """
import signal, sys, time
from mlic_mm.utils.atomic_write import atomic_write
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
with atomic_write(sys.argv[1]) as part:
    part.write_text('half')
    print('writing', flush=True)
    time.sleep(60)
"""


@pytest.mark.process
def test_ctrl_c(tmp_path: Path) -> None:
    """A real interruption, in a process of its own."""
    path = tmp_path / 'file.txt'
    path.write_text('old')
    repo = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, '-c', WAIT, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONPATH=repo),
    )
    assert process.stdout is not None
    try:
        assert b'writing\n' in iter(process.stdout.readline, b'')
        assert len(os.listdir(tmp_path)) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
    finally:
        process.kill()
        process.stdout.close()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['file.txt']


def test_threads_do_not_meet(tmp_path: Path) -> None:
    """All have begun before any ends; the last one stays."""
    path = tmp_path / 'file.txt'
    barrier = Barrier(4)

    def write(text: str) -> None:
        with atomic_write(path) as part:
            part.write_text(text)
            barrier.wait(60)

    texts = [letter * 1000 for letter in 'abcd']
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, texts))
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ['file.txt']


@pytest.mark.skipif(os.name != 'posix', reason='permissions of POSIX')
def test_it_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / 'plain').write_text('')
    with atomic_write(tmp_path / 'file') as part:
        part.write_text('')
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('plain', 'file')]
    assert modes[0] == modes[1]
