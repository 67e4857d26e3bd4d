"""One process at a time in a folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ['FolderInUseError', 'lock_folder']

_HELD: set[int] = set()


class FolderInUseError(ValueError):
    """Another process works in the folder."""


@contextmanager
def lock_folder(
    folder: str | Path, name: str, *, shown: str | Path = '', option: str = '--work-dir', wait: bool = False
) -> Iterator[int]:
    """Hold the lock of a folder; the system takes it back when the last process that holds it ends, however it ends.

    Args:
        folder: Is made where it is missing.
        name: Of the lock file. It stays, and says which process holds the lock.
        shown: What is in use, for the message; the folder by default.
        option: Which option names another place, for the message.
        wait: Wait for the other process, instead of failing.

    Yields:
        int: Descriptor of the lock. A program that inherits it (``subprocess`` with ``pass_fds``) holds the lock, too;
        a forked process, such as a worker that loads images, does not.

    Raises:
        FolderInUseError: Names the folder and the process that holds it.
    """
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors='replace').strip() or 'another process'
                raise FolderInUseError(
                    f'{shown or folder} is in use: {holder} works there; wait for its end, or give another {option}'
                ) from None
            except OSError:
                pass  # a file system without locks, as some network mounts are: no worse than before
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f'process {os.getpid()} on {socket.gethostname()}\n'.encode(), 0)
        _HELD.add(descriptor)
        yield descriptor
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_let_go)
