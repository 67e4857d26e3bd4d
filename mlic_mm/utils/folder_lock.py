"""Let one process at a time use a folder."""

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
    """Another process uses the folder."""


@contextmanager
def lock_folder(
    folder: str | Path, name: str, *, shown: str | Path = '', option: str = '--work-dir', wait: bool = False
) -> Iterator[int]:
    """Hold the lock of a folder. The system releases the lock when the last process that holds it ends, even by a kill.

    Args:
        folder: The folder. It is made if it is missing.
        name: Name of the lock file. The file stays, and says which process holds the lock.
        shown: What the message calls the folder; its path by default.
        option: The option that names another folder, for the message.
        wait: Wait for the other process instead of failing.

    Yields:
        int: Descriptor of the lock. A program that inherits it (``subprocess`` with ``pass_fds``) holds the lock too. A
        forked process, such as a loader's worker, does not.

    Raises:
        FolderInUseError: Another process uses the folder; the message names it.
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
                    f'{shown or folder} is in use: {holder} uses it; wait until it ends, or give another {option}'
                ) from None
            except OSError:
                pass  # a file system without locks, such as some network mounts
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
