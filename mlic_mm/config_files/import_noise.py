"""Hold back messages that other packages print while they are imported, and that help no user."""

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterator

__all__ = ['HELD_BACK', 'hold_back_noise']

NOISE = re.compile('Could not import OneDL|MultiScaleDeformableAttention|^Loads checkpoint by point backend')
HELD_BACK: list[str] = []
"""Lines that were held back. The log file of a run gets them."""


class _Lines(io.TextIOBase):
    """Stream that passes lines on, without the noise."""

    def __init__(self, out: io.TextIOBase) -> None:
        self._out, self._rest = out, ''

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split('\n')
        for line in lines:
            if NOISE.search(line):
                HELD_BACK.append(line)
            else:
                self._out.write(f'{line}\n')
        return len(text)

    def end(self) -> None:
        self._out.write(self._rest)


@contextlib.contextmanager
def hold_back_noise() -> Iterator[None]:
    """Keep known noise off the screen while packages are imported. Everything else passes."""
    lines = _Lines(sys.stdout)  # type: ignore[arg-type]
    show = warnings.showwarning

    def filtered(message: Warning | str, *args: object, **kwargs: object) -> None:
        if NOISE.search(str(message)):
            HELD_BACK.append(' '.join(str(message).split()))
        else:
            show(message, *args, **kwargs)  # type: ignore[arg-type]

    warnings.showwarning = filtered  # type: ignore[assignment]
    try:
        with contextlib.redirect_stdout(lines):  # type: ignore[type-var]
            yield
    finally:
        lines.end()
        warnings.showwarning = show
