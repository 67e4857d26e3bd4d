"""Time and memory of fusing score dumps against loading all of them and taking the mean, in one run.

    python benchmarks/bench_fuse_scores.py [--members 5 50] [--images 40137] [--classes 80] [--folder DIR]

Seconds include reading the files, which lie in the page cache, and the checks of images, classes and scores. They are
the best of --repeats runs. Each run has a process of its own, so that its peak memory can be measured. The metrics and
intervals that tools/fuse_scores.py prints are evaluation and not included. The script fails if the most members take
more than 3 s, or much more memory than the fewest.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import PeakMemory, Taken, machine, own_process, timed

from mlic_mm.evaluation import ScoreDump, ScoreFiles
from mlic_mm.evaluation.scores.score_fusion import MODES, accumulate, additive, check_scores, finish

LIMIT = 3.0
"""Seconds for the most members, mode mean."""


def write_dumps(folder: Path, count: int, num_images: int, num_classes: int) -> list[str]:
    """Write dumps of COCO's size with names and paths as long as COCO's."""
    rng = np.random.default_rng(0)
    targets = (rng.random((num_images, num_classes)) < 2.9 / num_classes).astype(np.int8)
    ids = np.array([f'COCO_val2014_{i:012}' for i in rng.choice(600_000, num_images, replace=False)])
    paths = np.array([f'data/coco/val2014/{name}.jpg' for name in ids])
    classes = tuple(f'class {i}' for i in range(num_classes))
    files = []
    for member in range(count):
        logits = rng.normal(-4, 1.8, targets.shape) + 5 * targets
        dump = ScoreDump(1 / (1 + np.exp(-logits)), targets, ids, paths, classes)
        files.append(str(dump.save(folder / f'{member}.npz')))
    return files


def obvious(files: list[str]) -> np.ndarray:
    """Everything in memory, scores alone, nothing checked."""
    return np.mean(np.stack([np.load(file)['scores'] for file in files]), axis=0)


def ours(files: list[str], mode: str) -> np.ndarray:
    """What tools/fuse_scores.py does up to the fused scores."""
    members = ScoreFiles(files)
    names = members.reference.image_ids, members.reference.classes
    return finish(
        accumulate(members.read(lambda scores, path: additive(check_scores(scores, mode, path, *names), mode))), mode
    )


class Run(NamedTuple):
    """What a fusion took and gave."""

    taken: Taken
    memory: PeakMemory
    scores: np.ndarray

    def __str__(self) -> str:
        return f'{self.taken}, {self.memory.mib:5.0f} MB'


def run(fuse: Callable[..., np.ndarray], args: tuple) -> Run:
    """Fuse once."""
    with PeakMemory('cpu') as memory:
        taken, scores = timed(fuse, *args)
    return Run(taken, memory, scores)


def best_of(repeats: int, fuse: Callable[..., np.ndarray], *args: object) -> Run:
    """Return the fastest of some runs, each in a process of its own."""
    runs = [own_process(run, fuse, args, start='fork') for _ in range(repeats)]
    return min(runs, key=lambda run: run.taken.wall)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--members', type=int, nargs='+', default=[5, 50])
    parser.add_argument('--images', type=int, default=40_137)
    parser.add_argument('--classes', type=int, default=80)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--folder', type=Path, help='where to write the dumps for the time being')
    args = parser.parse_args()
    print(machine())
    means: dict[int, Run] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files = write_dumps(Path(folder), max(args.members), args.images, args.classes)
        size = Path(files[0]).stat().st_size / 2**20
        for count in sorted(args.members):
            print(f'{count} dumps of {args.images} × {args.classes}, {size:.1f} MB each')
            naive = best_of(args.repeats, obvious, files[:count])
            print(f'  {"np.load, stack, mean":20} {naive}')
            for mode in MODES:
                fused = best_of(args.repeats, ours, files[:count], mode)
                print(f'  {mode:20} {fused}, {fused.taken.wall / naive.taken.wall:.2f} times that time')
                if mode == 'mean':
                    means[count] = fused
                    assert np.abs(fused.scores - naive.scores).max() < 1e-6
    fewest, most = means[min(means)], means[max(means)]
    passed = most.taken.wall <= LIMIT and most.memory.mib < 1.3 * fewest.memory.mib + 20
    print(f'{max(means)} dumps in at most {LIMIT} s, memory not growing: {"yes" if passed else "no"}')
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
