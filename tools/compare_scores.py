"""Compare two models from the scores that ``tools/test.py --out`` wrote, with a paired bootstrap interval.

    python tools/compare_scores.py --a plain_seed0.npz plain_seed1.npz --b lift_seed0.npz lift_seed1.npz

Several files of one model are its runs with different seeds. Images are matched by their ids.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not

from mlic_mm.evaluation import ScoreDump, paired_bootstrap
from mlic_mm.utils.checks import check_same_classes


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--a', nargs='+', required=True, metavar='NPZ', help='runs of the first model')
    parser.add_argument('--b', nargs='+', required=True, metavar='NPZ', help='runs of the second model')
    parser.add_argument('--preset', default='mlgcn')
    parser.add_argument('--figures', nargs='+', default=['mAP', 'CF1', 'OF1'])
    parser.add_argument('--resamples', type=int, default=1000)
    args = parser.parse_args(argv)
    try:
        first = ScoreDump.load(args.a[0])
        runs = {path: matched(path, first, args.a[0]) for path in [*args.a, *args.b]}
        result = paired_bootstrap(
            [runs[path] for path in args.a],
            [runs[path] for path in args.b],
            first.targets,
            args.figures,
            args.preset,
            args.resamples,
        )
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'{len(first.targets)} images, preset {args.preset}, {len(args.a)} and {len(args.b)} runs')
    print(f'{"":10}{"a":>8}{"b":>8}{"b − a":>8}  95 % interval over images')
    for name, row in result.items():
        print(f'{name:10}{row.a:8.2f}{row.b:8.2f}{row.difference:+8.2f}  [{row.low:+.2f}, {row.high:+.2f}]')


def matched(path: str, reference: ScoreDump, reference_path: str) -> np.ndarray:
    """Scores of ``path`` in the order of the reference's images.

    Raises:
        ValueError: Other classes, images or targets than the reference, or an image twice.
    """
    dump = ScoreDump.load(path)
    check_same_classes(reference.classes, dump.classes, reference_path, path)
    order, wanted = np.argsort(dump.image_ids), np.argsort(reference.image_ids)
    if len(np.unique(dump.image_ids)) != len(dump.image_ids):
        raise ValueError(f'{path} holds an image twice: write it anew with tools/test.py --out')
    if not np.array_equal(dump.image_ids[order], reference.image_ids[wanted]):
        odd = sorted(set(dump.image_ids.tolist()) ^ set(reference.image_ids.tolist()))
        raise ValueError(f'{path} and {reference_path} hold different images; {odd[0]} is in one of them only')
    scores, targets = np.empty_like(dump.scores), np.empty_like(dump.targets)
    scores[wanted], targets[wanted] = dump.scores[order], dump.targets[order]
    if not np.array_equal(targets, reference.targets):
        raise ValueError(f'{path} and {reference_path} disagree about the labels of the same images')
    return scores


if __name__ == '__main__':
    main()
