"""Signals that stop a command: an exception in its process, and an end at once in the processes that it forks."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ['StopSignal', 'find_stop', 'stop_signals', 'stop_status']

HANDLED: list[int] = []
"""Signals that :func:`stop_signals` handles now."""


class StopSignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP: a command ends as at Ctrl-C.

    Attributes:
        status: The exit status that a shell shows for the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def find_stop(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interruption that an exception stems from. A bare ``except`` of a library may have renamed it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def stop_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status for Ctrl-C or another signal that ends a command."""
    return getattr(stop, 'status', 128 + signal.SIGINT)


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that files are closed and what is half-written is deleted."""

    def stop(number: int, frame: FrameType | None) -> None:
        # Loader workers print a traceback when nobody listens any more, and torch raises an error when they end.
        if hasattr(signal, 'SIGCHLD'):
            signal.signal(signal.SIGCHLD, lambda *_: None)
        for child in multiprocessing.active_children():
            child.kill()
        raise StopSignal(number)

    names = [number for name in ('SIGTERM', 'SIGHUP') if (number := getattr(signal, name, None)) is not None]
    before = {}
    if threading.current_thread() is threading.main_thread():
        # What is ignored stays ignored: nohup ignores SIGHUP.
        before = {number: signal.signal(number, stop) for number in names if signal.getsignal(number) == signal.SIG_DFL}
    HANDLED.extend(before)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        HANDLED[:] = [number for number in HANDLED if number not in before]


def _block_handled() -> None:
    """Let signals wait while a process is forked."""
    if HANDLED:
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def _unblock_handled() -> None:
    if HANDLED:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _end_at_once() -> None:
    """Give a forked process the default actions.

    Python would handle a signal between two of its instructions. A worker of a pool that has just begun to wait for a
    lock would never see SIGTERM, and the pool would wait for the worker for ever.
    """
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    _unblock_handled()
    HANDLED.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_block_handled, after_in_parent=_unblock_handled, after_in_child=_end_at_once)
