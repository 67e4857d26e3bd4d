"""How the commands of this project read their options, and how they end."""

import argparse
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn, TypeVar, overload

from mmengine.config import DictAction
from mmengine.dist import is_distributed
from mmengine.logging import MMLogger

from mlic_mm.utils.choices import did_you_mean

from .explain import explain

__all__ = [
    'AT_START',
    'GOES_ON',
    'CommandError',
    'CommandParser',
    'ConfigOptions',
    'StopSignal',
    'command',
    'find_stop',
    'is_main_process',
    'log_to_file',
    'stop_status',
]

T = TypeVar('T')

GOES_ON = 'interrupted: the same command goes on from here'
"""What a command says that keeps what it has done."""

AT_START: list[Callable[[], None]] = []
"""Called when a command begins. ``tools/_clone.py`` handles signals during the imports, and ends that here."""


class CommandError(SystemExit):
    """The end of a command by a mistake of its user: exit status 2, after one line on the error stream."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 2


class StopSignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP: a command ends as at Ctrl-C. ``status`` is what a shell shows for the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class CommandParser(argparse.ArgumentParser):
    """Parser whose complaints take one line and name the nearest option. Every command has ``--debug``."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault('formatter_class', argparse.RawDescriptionHelpFormatter)
        super().__init__(**kwargs)
        self.add_argument('--debug', action='store_true', help='at an error show the traceback, not one line')

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            near = [did_you_mean(word.split('=')[0], self._option_string_actions, 1, listed=0) for word in unknown]
            self.error(f'unknown: {" ".join(unknown)}{"".join(dict.fromkeys(near))}')
        return known

    def add_config_options(self, text: str = 'override the config: a.b=1 c="[1,2]"') -> None:
        """Add ``--cfg-options KEY=VALUE …``, the keyword ``options`` of a job."""
        self.add_argument('--cfg-options', dest='options', nargs='+', action=ConfigOptions, help=text)

    def parse_keywords(self, args: Sequence[str] | None = None) -> dict[str, Any]:
        """Parse the words of a command, and return them as keyword arguments for the job behind it."""
        found = dict(vars(self.parse_args(args)))
        del found['debug']  # is for the command
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'error: {message}; {self.prog} --help lists all options\n')


class ConfigOptions(DictAction):
    """``--cfg-options KEY=VALUE …`` as mmengine reads it, with a complaint that names the word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        for word in values:
            key, equals, _ = word.partition('=')
            if not equals or not all(part.strip() for part in key.split('.')):
                parser.error(f'{option_string} {word}: write KEY=VALUE, such as optim_wrapper.optimizer.lr=0.01')
            try:
                super().__call__(parser, argparse.Namespace(**{self.dest: {}}), [word], option_string)
            except RecursionError:
                parser.error(f'{option_string} {word}: write one setting a word, such as {key}.type=… {key}.size=…')
            except (ValueError, AssertionError) as error:
                parser.error(f'{option_string} {word}: {error or "cannot be read"}')
        super().__call__(parser, namespace, values, option_string)


@overload
def command(main: Callable[..., T], *, interrupted: str = ...) -> Callable[..., T]: ...


@overload
def command(main: None = ..., *, interrupted: str = ...) -> Callable[[Callable[..., T]], Callable[..., T]]: ...


def command(main: Callable[..., T] | None = None, *, interrupted: str = 'interrupted') -> Any:
    """Decorate ``main(argv=None)`` of a command, so that it ends in one way.

    Any exception counts as a mistake of the user. It ends the command with exit status 2 and one line on the error
    stream. The log file, if there is one, gets the traceback; ``--debug`` shows it instead of the line. Ctrl-C, SIGTERM
    and SIGHUP end the command with 128 + the number of the signal. A command that has more to say catches
    ``KeyboardInterrupt``, of which :class:`StopSignal` is one.

    Args:
        main: The function.
        interrupted: What a command says that Ctrl-C or another signal has stopped.

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
            with _stop_signals():
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
                print(f'{"" if is_main_process() else _rank() + ": "}error: {message}', file=sys.stderr, flush=True)
            raise CommandError(f'error: {message}') from error

    return run


def find_stop(error: BaseException | None) -> KeyboardInterrupt | None:
    """Find the interruption that an exception stems from: a bare ``except`` of a library may have renamed it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def stop_status(stop: KeyboardInterrupt) -> int:
    """Exit status for Ctrl-C or another signal that ends a command."""
    return getattr(stop, 'status', 128 + signal.SIGINT)


def is_main_process() -> bool:
    """Whether this is rank 0, also before the processes are connected."""
    return _rank() == 'process 0'


def log_to_file(text: str, level: int = logging.INFO) -> None:
    """Write into the log file of this run, and not on the screen; nowhere where there is no log file yet."""
    if not MMLogger._instance_dict:
        return
    logger = MMLogger.get_current_instance()
    record = logger.makeRecord(logger.name, level, __file__, 0, text, (), None)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _rank() -> str:
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return f'process {next((rank for rank in ranks if rank is not None), "0")}'


HANDLED: list[int] = []
"""Signals that :func:`_stop_signals` handles now."""


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
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
