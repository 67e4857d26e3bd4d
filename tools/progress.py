"""Stage headings and a progress bar that also makes sense in a log file; standard library only."""

import sys
import time

WIDTH = 30
LOG_EVERY_S = 30.0


def clock(seconds: float) -> str:
    """``m:ss``."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def stage(number: int, total: int, title: str) -> None:
    """Announce a stage."""
    print(f'\n[{number}/{total}] {title}', flush=True)


class Bar:
    """One line that is drawn again in place on a terminal, and printed now and then elsewhere.

    Args:
        label: What is going on.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.start = time.monotonic()
        self._last = float('-inf')
        self._terminal = sys.stdout.isatty()

    def show(self, done: int, total: int, note: str = '', final: bool = False) -> None:
        """Draw the bar at ``done`` of ``total`` (0: not known yet)."""
        now = time.monotonic()
        if not final and now - self._last < (0.2 if self._terminal else LOG_EVERY_S):
            return
        self._last = now
        filled = WIDTH * done // total if total else 0
        bar = '#' * filled + '.' * (WIDTH - filled)
        line = f'{self.label} [{bar}] {done}/{total or "?"}  {clock(now - self.start)}  {note}'.rstrip()
        if self._terminal:
            print(f'\r\033[K{line}', end='\n' if final else '', flush=True)
        else:
            print(line, flush=True)
