"""Headings of stages, and a progress bar that also makes sense in a log file.

Standard library only: ``tools/setup_env.py`` loads this file before anything is installed.
"""

import sys
import threading
import time
from types import TracebackType

__all__ = ['Bar', 'clock', 'stage']

WIDTH = 30
LOG_EVERY_S = 30.0


def clock(seconds: float) -> str:
    """Return a time as ``m:ss``.

    Example:
        >>> clock(754)
        '12:34'
    """
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def stage(number: int, total: int, title: str) -> None:
    """Print the heading of a stage."""
    print(f'\n[{number}/{total}] {title}', flush=True)


class Bar:
    """A progress bar with a clock. A terminal shows it in place; a log file gets a line now and then.

    Use it as ``with Bar('training') as bar: bar.update(3, 10)``.

    Args:
        label: What is going on.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._state = (0, 0, '')
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._terminal = sys.stdout.isatty()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> 'Bar':
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and not self._state[1]:
            self._state = (1, 1, self._state[2])
        self._draw(last=True)

    def update(self, done: int, total: int, note: str = '') -> None:
        """Set how much is done. ``total=0`` means that the total is not known yet."""
        self._state = (done, total, note)

    def _tick(self) -> None:
        while not self._stop.wait(0.5 if self._terminal else LOG_EVERY_S):
            self._draw()

    def _draw(self, last: bool = False) -> None:
        done, total, note = self._state
        filled = WIDTH * done // total if total else 0
        count = f'{done}/{total}' if total > 1 else ''
        bar = f'[{"#" * filled}{"." * (WIDTH - filled)}]'
        words = (self.label, bar, count, clock(time.monotonic() - self._start), note)
        line = ' '.join(word for word in words if word)
        if self._terminal:
            print(f'\r\033[K{line}', end='\n' if last else '', flush=True)
        else:
            print(line, flush=True)
