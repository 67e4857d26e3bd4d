"""Images a second of two processes of one thread each, over twice those of one process, in one run.

    python benchmarks/bench_processes.py [--iterations 25] [--rounds 3] [--size 128] [--batch 16]

``tools/train.py`` trains ResNet-18 on digit scenes: in one process; in two processes at the same time that do not know
each other; and in two processes that average their gradients (``--launcher pytorch``, gloo). All processes have the
same batch size. The three take turns, and the first iterations of a training do not count.

"apart" shows what the machine loses if both cores are busy, also with other jobs. "together" over "apart" is the cost
of the distributed training alone. Processor seconds leave out the time in which a process waits for a core or for the
other process. Where other jobs use the cores, only they can show what the bound asks for.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from measure import ROOT, machine
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mlic_mm.registry import HOOKS

WARM_UP = 5
BOUND = 0.9
MODES = ('one', 'two apart', 'two together')


class Speed(NamedTuple):
    """Images a second of all processes, and processor seconds of one process for an image."""

    wall: float
    processor: float


@HOOKS.register_module()
class StepClock(Hook):
    """Write the wall clock and the processor clock after each iteration to ``<out>.<rank>``."""

    priority = 'VERY_LOW'

    def __init__(self, out: str) -> None:
        self.out = out
        self.ticks: list[tuple[float, float]] = []

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def after_train(self, runner: Any) -> None:
        Path(f'{self.out}.{get_rank()}').write_text(json.dumps(self.ticks))


def write_config(folder: Path, args: argparse.Namespace) -> None:
    """Write the config of the training."""
    cfg = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    cfg.merge_from_dict(Config.fromfile(ROOT / 'configs/_base_/datasets/digits_96.py').to_dict())
    for name in ('val_dataloader', 'val_evaluator', 'test_dataloader', 'test_evaluator'):
        cfg.pop(name)
    cfg.custom_imports.imports.append('bench_processes')
    cfg.train_dataloader.batch_size = args.batch
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.dataset.data_root = str(folder / 'digits')
    cfg.train_dataloader.dataset.pipeline[1].scale = args.size
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=args.iterations, by_epoch=False)
    cfg.default_hooks.step_clock = dict(type='mlic_mm.StepClock', out='')
    cfg.merge_from_dict(
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='MultiLabelLinearClsHead', num_classes=10, in_channels=512),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
            train_cfg=dict(by_epoch=False, max_iters=args.iterations),
        )
    )
    cfg.dump(folder / 'config.py')


def start(folder: Path, out: Path, *launch: str, **environment: str) -> subprocess.Popen:
    """Start a training."""
    words = [str(ROOT / 'tools/train.py'), str(folder / 'config.py'), '--work-dir', f'{out}-run']
    words += ['--cfg-options', f'default_hooks.step_clock.out={out}', *launch]
    paths = os.pathsep.join([str(ROOT / 'benchmarks'), os.environ.get('PYTHONPATH', '')])
    variables = os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=paths, CUDA_VISIBLE_DEVICES='') | environment
    with Path(f'{out}-{environment.get("RANK", 0)}.log').open('w') as log:
        return subprocess.Popen([sys.executable, *words], env=variables, stdout=log, stderr=log)


def measure(mode: str, folder: Path, name: str, args: argparse.Namespace) -> Speed:
    """Train and return the speed."""
    if mode == 'two together':
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        common = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        out = folder / name
        ranks = [start(folder, out, '--launcher', 'pytorch', RANK=i, LOCAL_RANK=i, **common) for i in '01']
        files = [Path(f'{out}.{i}') for i in '01']
    else:
        names = [f'{name}-{i}' for i in range(1 if mode == 'one' else 2)]
        ranks = [start(folder, folder / each) for each in names]
        files = [folder / f'{each}.0' for each in names]
    if any([rank.wait() for rank in ranks]):
        raise SystemExit(f'{mode}: {"".join(log.read_text()[-2000:] for log in folder.glob(f"{name}*.log"))}')
    wall, processor = [], []
    for file in files:
        ticks = json.loads(file.read_text())[WARM_UP:]
        steps = [[b[i] - a[i] for a, b in pairwise(ticks)] for i in (0, 1)]
        wall.append(args.batch / statistics.median(steps[0]))
        processor.append(statistics.median(steps[1]) / args.batch)
    return Speed(sum(wall), statistics.mean(processor))


def main() -> int:
    """Print the table. Return 1 if neither the wall clock nor the processor clock shows what the bound asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--batch', type=int, default=16, help='of each process')
    parser.add_argument(
        '--iterations', type=int, default=25, help=f'of each training; the first {WARM_UP} do not count'
    )
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    speeds: dict[str, list[Speed]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_config(folder, args)
        for turn in range(args.rounds):
            for mode in MODES:
                speeds[mode].append(measure(mode, folder, f'{mode.replace(" ", "_")}_{turn}', args))
                print(f'round {turn + 1}, {mode}: {speeds[mode][-1].wall:.1f} images a second', flush=True)
    print(f'ResNet-18, {args.batch} images of {args.size} px a process, {machine()}')
    for mode in MODES:
        wall, processor = (statistics.median(each[i] for each in speeds[mode]) for i in (0, 1))
        print(f'{mode:13} {wall:6.1f} images a second  {1000 * processor:6.1f} processor ms an image')
    one, apart, together = (speeds[mode] for mode in MODES)
    share = statistics.median(b.wall / a.wall / 2 for a, b in zip(one, together, strict=True))
    print(f'together over twice one: {share:.2f} (bound {BOUND})')
    print(
        f'apart over twice one: {statistics.median(b.wall / a.wall / 2 for a, b in zip(one, apart, strict=True)):.2f}'
    )
    print(
        f'together over apart: {statistics.median(b.wall / a.wall for a, b in zip(apart, together, strict=True)):.2f}'
    )
    processor = statistics.median(a.processor / b.processor for a, b in zip(one, together, strict=True))
    print(f'together over twice one, in processor seconds: {processor:.2f}')
    return 0 if max(share, processor) >= BOUND else 1


if __name__ == '__main__':
    raise SystemExit(main())
