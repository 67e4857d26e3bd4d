"""One process at a time: held by what inherits it, not by what is forked, and given back however a process ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlic_mm.utils.folder_lock import FolderInUseError, lock_folder

pytestmark = pytest.mark.process


def hold(folder, ready):
    with lock_folder(folder, '.lock'):
        ready.set()
        signal.pause()


def rest(ready):
    ready.set()
    signal.pause()


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context('fork')
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path / 'new', ready), daemon=True)
    other.start()
    assert ready.wait(60)
    message = rf'the work is in use: process {other.pid} on .*; wait until it ends, or give another --out'
    with (
        pytest.raises(FolderInUseError, match=message),
        lock_folder(tmp_path / 'new', '.lock', shown='the work', option='--out'),
    ):
        pass
    other.kill()
    with lock_folder(tmp_path / 'new', '.lock', wait=True):
        assert f'process {os.getpid()} on ' in (tmp_path / 'new/.lock').read_text()
    other.join()


def test_a_forked_process_does_not_hold_it(tmp_path: Path) -> None:
    """Loader workers live for seconds after the training is killed."""
    context = multiprocessing.get_context('fork')
    with lock_folder(tmp_path, '.lock'):
        ready = context.Event()
        worker = context.Process(target=rest, args=(ready,), daemon=True)
        worker.start()
        assert ready.wait(60)
    with lock_folder(tmp_path, '.lock'):
        assert worker.is_alive()
    worker.kill()
    worker.join()


def test_a_program_that_inherits_it_holds_it(tmp_path: Path) -> None:
    with lock_folder(tmp_path, '.lock') as descriptor:
        child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, pass_fds=[descriptor])
    with pytest.raises(FolderInUseError), lock_folder(tmp_path, '.lock'):
        pass
    child.communicate(b'\n')
    with lock_folder(tmp_path, '.lock'):
        pass


@pytest.mark.skipif(not hasattr(os, 'O_NOFOLLOW'), reason='links of POSIX')
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'theirs').write_text('theirs')
    (tmp_path / '.lock').symlink_to(tmp_path / 'theirs')
    with pytest.raises(OSError, match='lock'), lock_folder(tmp_path, '.lock'):
        pass
    assert (tmp_path / 'theirs').read_text() == 'theirs'
