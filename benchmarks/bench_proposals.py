"""Time of reading the proposals of one image, from a file of a full-sized data set.

    python benchmarks/bench_proposals.py [--images 5000] [--num 500] [--limit 0.2]

The script writes random boxes for 5,000 images with 1,000 proposals each. Then it reads 500 proposals of each image
once, in random order: boxes in pixels and scores (``ProposalFile.read``), and with all that ``LoadProposals`` does. The
file is in the page cache of the system. Times are milliseconds for each image. Processor times, in brackets, are for a
machine that has other work. The limit is for the median of reading and for the mean processor time.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measure import timed

from mlic_mm.datasets import LoadProposals, ProposalFile
from mlic_mm.datasets.proposals.proposal_file import Entry, write_proposal_file

STORED, SIZE = 1000, (375, 500)


def drawn(images: int) -> Iterator[Entry]:
    """Yield boxes and scores of ``images`` images."""
    rng = np.random.default_rng(0)
    for number in range(images):
        corners = rng.random((STORED, 2, 2)) * SIZE[::-1]
        boxes = np.concatenate([corners.min(1), corners.max(1) + 2], 1)
        yield f'{number:06d}', SIZE, boxes, np.sort(rng.random(STORED))[::-1]


def each(title: str, call: Callable[[str], object], ids: list[str]) -> float:
    """Call with each id, print the times, and return the larger of median and mean processor time, in ms."""
    wall, processor = 1000 * np.array([timed(call, img_id)[0] for img_id in ids]).T
    median = float(np.median(wall))
    print(f'{title}: median {median:.3f} ms, mean {wall.mean():.3f} ms (processor: {processor.mean():.3f} ms)')
    return max(median, float(processor.mean()))


def main() -> int:
    """Print the times. Return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=5000)
    parser.add_argument('--num', type=int, default=500)
    parser.add_argument('--limit', type=float, default=0.2, help='milliseconds for reading (default: %(default)s)')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'proposals.st'
        writing, _ = timed(write_proposal_file, path, drawn(args.images), dict(type='drawn'), dict(type='drawn'))
        print(f'{args.images} images × {STORED} proposals: {path.stat().st_size / 2**20:.1f} MiB')
        print(f'drawing and writing: {writing}')
        file = ProposalFile(path)
        opening, ids = timed(lambda: file.ids)
        print(f'opening: {1000 * opening.wall:.1f} ms, once in each process')
        np.random.default_rng(1).shuffle(ids)
        taken = each(f'reading {args.num}', lambda img_id: file.read(img_id, SIZE, args.num, SIZE), ids)
        load = LoadProposals(str(path), args.num)
        image = np.zeros((*SIZE, 3), np.uint8)
        each('LoadProposals', lambda img_id: load(dict(img=image, ori_shape=SIZE, img_id=img_id)), ids)
    print('the limit is kept' if taken <= args.limit else f'the limit of {args.limit} ms is missed')
    return 0 if taken <= args.limit else 1


if __name__ == '__main__':
    raise SystemExit(main())
