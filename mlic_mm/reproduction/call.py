"""Run a command with its output in a log."""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mlic_mm.cli.stop import StopSignal

__all__ = ['call_logged']


def call_logged(command: Sequence[str], log: Path, name: str, held: int | None = None) -> None:
    """Run a command to its end, with its output in a log.

    Args:
        command: The words of the command.
        log: The output is added to this file.
        name: Who runs it, for the message.
        held: Descriptor of a lock that the command holds, too. If this process is killed, nobody begins a second run
            beside it.

    Raises:
        ValueError: The command failed; the message has the one line of its error.
    """
    with log.open('a', encoding='utf-8') as out:
        print(f'$ {shlex.join(command)}', file=out, flush=True)
        env = {'PORT': str(_free_port()), **os.environ, 'PYTHON': sys.executable}
        descriptors = () if held is None else (held,)
        with subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, pass_fds=descriptors) as child:
            try:
                code = child.wait()
            except KeyboardInterrupt as stop:
                _stop(child, stop)
                raise
    if code:
        lines = log.read_text(errors='replace').strip().splitlines()
        last = next((line for line in reversed(lines) if 'error: ' in line), lines[-1]).removeprefix('error: ')
        raise ValueError(f'{name} failed with exit status {code}: {last}; all output: {log}')


def _stop(child: subprocess.Popen, stop: KeyboardInterrupt) -> None:
    """End a child as this process is ended: Ctrl-C in a terminal has reached it as well, other signals have not."""
    if isinstance(stop, StopSignal):
        child.terminate()
    try:
        child.wait(60)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()


def _free_port() -> int:
    """Return a port for the processes of one run to meet at, so that several runs do not meet each other."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
