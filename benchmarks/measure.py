"""The clock and the memory meter of all benchmarks.

Import this module before ``mlic_mm``: a clone then measures its own package, whether that is installed or not.

On a GPU, seconds are those of the clock on the wall. On a CPU, they are processor seconds of all threads, because other
processes of the machine have less influence on them. Memory on a CPU needs Linux.
"""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
warnings.filterwarnings('ignore')

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


class Taken(NamedTuple):
    """Seconds that a call took."""

    wall: float
    processor: float

    @property
    def seconds(self) -> float:
        """The seconds that are compared on this machine."""
        return self.wall if DEVICE == 'cuda' else self.processor

    def __str__(self) -> str:
        return f'{self.wall:.2f} s ({self.processor:.2f} s of the processor)'


def timed(call: Callable[..., Any], *args: object) -> tuple[Taken, Any]:
    """Call once. Return the seconds and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call(*args)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return Taken(time.perf_counter() - wall, time.process_time() - processor), result


def best(call: Callable[[], object], repeats: int = 3) -> Taken:
    """Call several times. Return the least wall time and the least processor time."""
    runs = [timed(call)[0] for _ in range(repeats)]
    return Taken(min(run.wall for run in runs), min(run.processor for run in runs))


def interleaved(
    calls: Mapping[str, Callable[..., object]], repeats: int, *args: object, warm_up: int = 1
) -> dict[str, list[float]]:
    """Make all calls in turn, again and again, so that a busy moment of the machine meets all of them.

    Args:
        calls: The calls by name.
        repeats: How often each is measured.
        args: Arguments of all calls.
        warm_up: Rounds before those, which do not count.

    Returns:
        The seconds of each call, one number a round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(-warm_up, repeats):
        for name, call in calls.items():
            taken, _ = timed(call, *args)
            if repeat >= 0:
                seconds[name].append(taken.seconds)
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of interleaved runs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


class PeakMemory:
    """Meter of the memory at its peak above what was in use before the block.

    On a GPU this is what torch allocates. On a CPU it is resident memory. Memory that the process freed and kept hides
    new memory, so measure in a process of its own (:func:`own_process`) if much was done before.

    Args:
        device: Which memory. Work that never uses a GPU says ``'cpu'``.
    """

    bytes = 0

    def __init__(self, device: str = DEVICE) -> None:
        self.device = device

    def __enter__(self) -> 'PeakMemory':
        if self.device == 'cuda':
            self._before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            return self
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
        self._before = int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = (torch.cuda.max_memory_allocated() if self.device == 'cuda' else self._peak()) - self._before

    @staticmethod
    def _peak() -> int:
        (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) * 1024

    @property
    def mib(self) -> float:
        """The peak in MiB."""
        return self.bytes / 2**20


def own_process(call: Callable[..., Any], *args: object, start: Literal['spawn', 'fork'] = 'spawn') -> Any:
    """Call in a process of its own. Return the result.

    Args:
        call: A function of a module.
        args: Its arguments.
        start: ``'fork'`` is fast. It is for calls that use no GPU.
    """
    with multiprocessing.get_context(start).Pool(1) as pool:
        return pool.apply(call, args)


def machine() -> str:
    """Name the device and how busy it is."""
    if DEVICE == 'cuda':
        return torch.cuda.get_device_name()
    return f'CPU, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}'
