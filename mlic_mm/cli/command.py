"""How the commands of this project end."""

import contextlib
import functools
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from mmengine.dist import is_distributed

from .explain import explain
from .process import is_main_process, log_to_file, process_name
from .stop import find_stop, stop_signals, stop_status

__all__ = ['AT_START', 'GOES_ON', 'CommandError', 'command']

T = TypeVar('T')

GOES_ON = 'interrupted: the same command goes on from here'
"""What a command says at a stop if it keeps what it has done."""

AT_START: list[Callable[[], None]] = []
"""Called when a command begins. ``tools/_clone.py`` handles signals during the imports, and ends that here."""


class CommandError(SystemExit):
    """The end of a command by a mistake of its user: exit status 2, after one line on the error stream."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 2


@overload
def command(main: Callable[..., T], *, interrupted: str = ...) -> Callable[..., T]: ...


@overload
def command(main: None = ..., *, interrupted: str = ...) -> Callable[[Callable[..., T]], Callable[..., T]]: ...


def command(main: Callable[..., T] | None = None, *, interrupted: str = 'interrupted') -> Any:
    """Decorate ``main(argv=None)`` of a command, so that it ends in one way.

    Any exception counts as a mistake of the user. It ends the command with exit status 2 and one line on the error
    stream. The log file, if there is one, gets the traceback; ``--debug`` shows it instead of the line. Ctrl-C, SIGTERM
    and SIGHUP end the command with 128 + the number of the signal. A command that has more to say catches
    ``KeyboardInterrupt``, of which :class:`~mlic_mm.cli.stop.StopSignal` is one.

    Args:
        main: The function.
        interrupted: What the command says when Ctrl-C or another signal stops it.

    Raises:
        CommandError: ``main`` raised an exception, and ``--debug`` is not given.
    """
    if main is None:
        return functools.partial(_command, interrupted=interrupted)
    return _command(main, interrupted)


def _command(main: Callable[..., T], interrupted: str) -> Callable[..., T]:
    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> T:
        words = sys.argv[1:] if argv is None else argv
        try:
            for call in AT_START:
                call()
            with stop_signals():
                return main(argv)
        except KeyboardInterrupt as stop:
            print(f'\n{interrupted}', file=sys.stderr)
            raise SystemExit(stop_status(stop)) from None
        except BrokenPipeError:  # `… | head` has seen enough
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None
        except Exception as error:
            stopped_by = find_stop(error)
            if stopped_by is not None:
                print(f'\n{interrupted}', file=sys.stderr)
                raise SystemExit(stop_status(stopped_by)) from None
            log_to_file(''.join(traceback.format_exception(error)), logging.ERROR)
            if '--debug' in words:
                raise
            message = explain(error)
            # Before they are connected, all processes make the same mistake.
            if is_main_process() or is_distributed():
                name = '' if is_main_process() else f'{process_name()}: '
                print(f'{name}error: {message}', file=sys.stderr, flush=True)
            raise CommandError(f'error: {message}') from error

    return run
