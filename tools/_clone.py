"""The first import of a tool: it runs the package of its own clone, whether that is installed or not.

The imports of a tool take seconds. A signal in that time ends the tool without a traceback.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

TOOLS = Path(__file__).resolve().parent
INTERRUPTED = {
    'train.py': (1, '\ninterrupted before the training began: start again with the same command\n'),
}
"""What a tool says, and on which stream, if it is not ``interrupted`` on the error stream."""


def stop(number: int, _: FrameType | None) -> None:
    """End at once: nothing is begun that would need an orderly end."""
    stream, text = INTERRUPTED.get(Path(sys.argv[0]).name, (2, '\ninterrupted\n'))
    os.write(stream, text.encode())
    os._exit(128 + number)


before = {}
if Path(getattr(sys.modules['__main__'], '__file__', None) or '').resolve().parent == TOOLS:
    # Not where another program imports a tool. A signal that is ignored stays ignored.
    for name in ('SIGINT', 'SIGTERM', 'SIGHUP'):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, stop)


def put_back() -> None:
    """Give the signals their handlers back, when the command begins."""
    while before:
        signal.signal(*before.popitem())


sys.path.insert(0, str(TOOLS.parent))
import mlic_mm.cli.command  # noqa: E402  (mlic_mm says what to install if something is missing)

mlic_mm.cli.command.AT_START.append(put_back)
