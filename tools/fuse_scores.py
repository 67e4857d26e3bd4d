"""Fuse the scores of several models and print what it gains over each of them.

    python tools/fuse_scores.py m2_512.npz m3_512.npz --out fused.npz --plot gain.svg
    python tools/fuse_scores.py a.npz b.npz c.npz --tune a_val.npz b_val.npz c_val.npz
    python tools/fuse_scores.py a.npz mmpretrain_results.pkl --mode rank

Files are those of tools/test.py --out, or result pickles of mmengine, of which no code is ever run. Images are matched
by their ids, classes by their names. What the modes do and how weights are tuned: docs/ensembles.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not

from mlic_mm.cli.command import CommandParser, command
from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol
from mlic_mm.evaluation import Protocol, ScoreFiles, average_precision, evaluate_scores, select_members
from mlic_mm.evaluation.functional import bootstrap_interval
from mlic_mm.evaluation.functional.bootstrap import MIN_RESAMPLES
from mlic_mm.evaluation.functional.figures import mean_of_known
from mlic_mm.evaluation.scores.image_names import different_files
from mlic_mm.evaluation.scores.score_dump import check_npz_name
from mlic_mm.evaluation.scores.score_fusion import MODES, accumulate, additive, check_scores, check_weights, finish
from mlic_mm.utils.atomic_write import atomic_write, check_can_write
from mlic_mm.utils.checks import check_same_names
from mlic_mm.utils.plain_text import plain_text

PLOTS = ('.svg', '.png', '.pdf')
MOST_COMPARED = 8
FULL_RESAMPLES = 500_000
"""Images × classes up to which 1,000 resamples take well under a minute; beyond, fewer are drawn."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('dumps', nargs='+', metavar='SCORES', help='.npz of tools/test.py --out, .pkl of mmengine')
    parser.add_argument('--mode', choices=MODES, default='mean', help='mean of scores, of ranks, or geometric mean')
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument('--weights', nargs='+', type=float, metavar='W', help='one per file; only ratios count')
    weights.add_argument(
        '--tune', nargs='+', metavar='VAL', help='find weights on held-out dumps, one per file, in order'
    )
    parser.add_argument('--classes', type=Path, metavar='FILE', help='class names for pickles: one a line, or JSON')
    parser.add_argument('--out', type=Path, metavar='NPZ', help='write the fused scores')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='plot the gain of each class (.svg, .png or .pdf)')
    parser.add_argument('--force', action='store_true', help='replace existing files')
    add_protocol_options(parser)
    parser.add_argument('--figures', nargs='+', help='default: mAP CF1 OF1; of ranks, which have no threshold, mAP')
    parser.add_argument(
        '--resamples', type=int, help='of the bootstrap, 0 for none (default: 1000, fewer for large data)'
    )
    args = parser.parse_args(argv)
    if args.classes and not any(path.endswith(('.pkl', '.pickle')) for path in [*args.dumps, *(args.tune or [])]):
        parser.error('--classes names the classes of pickles, and none is given')
    if args.plot and args.plot.suffix.lower() not in PLOTS:
        parser.error(f'--plot {args.plot} must end in {", ".join(PLOTS)}')
    if args.tune and len(args.tune) != len(args.dumps):
        parser.error(f'--tune needs one held-out dump per model: {len(args.tune)} for {len(args.dumps)}')
    if args.resamples is not None and args.resamples != 0 and args.resamples < MIN_RESAMPLES:
        parser.error(f'--resamples {args.resamples}: take at least {MIN_RESAMPLES}, or 0 for no interval')
    args.figures = args.figures or (['mAP'] if args.mode == 'rank' else ['mAP', 'CF1', 'OF1'])
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    run(parse_args(argv))


def run(args: argparse.Namespace) -> None:
    if args.out:
        check_npz_name(args.out)
    for path in filter(None, (args.out, args.plot)):
        check_can_write(path, args.force)
    if args.weights:
        check_weights(args.weights, len(args.dumps))
    protocol = chosen_protocol(args)
    start = time.perf_counter()
    members = ScoreFiles(args.dumps, read_names(args.classes) if args.classes else None)
    weights = tune(args, members, protocol) if args.tune else args.weights
    middle = time.perf_counter()
    total = accumulate(parts(members, args.mode), weights)
    dump = replace(members.reference, scores=finish(total, args.mode))
    end = time.perf_counter()
    if args.tune:
        print(f'weights tuned in {middle - start:.1f} s')
        start = middle
    num_images, num_classes = dump.scores.shape
    print(f'{len(members)} dumps of {num_images} × {num_classes} read and fused ({args.mode}) in {end - start:.2f} s')
    if args.out:
        print(f'fused scores: {dump.save(args.out)}')
    shares = np.full(len(members), 1 / len(members)) if weights is None else check_weights(weights, len(members))
    compare(args, members, shares, dump.scores, protocol)


def read_names(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding='utf-8-sig')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        names = json.loads(text) if path.suffix == '.json' else lines
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} cannot be read as names in UTF-8 ({error}): write one a line, or a JSON list'
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path} must be a list of names, one a line, or a JSON list')
    return tuple(names)


def parts(members: ScoreFiles, mode: str) -> Iterator[np.ndarray]:
    """What is to be averaged, member by member.

    Raises:
        ValueError: Scores that cannot be fused: not finite, or probabilities together with logits.
    """
    reference = members.reference
    probabilities: dict[bool, str] = {}

    def prepare(scores: np.ndarray, path: str) -> np.ndarray:
        check_scores(scores, mode, path, reference.image_ids, reference.classes)
        probabilities.setdefault(bool(scores.min() >= 0 and scores.max() <= 1), path)
        if mode == 'mean' and len(probabilities) == 2:
            raise ValueError(
                f'{probabilities[True]} holds probabilities and {probabilities[False]} scores outside [0, 1], such as '
                'logits, which would drown them: dump probabilities, or take --mode rank'
            )
        return additive(scores, mode)

    return members.read(prepare)


def tune(args: argparse.Namespace, members: ScoreFiles, protocol: Protocol) -> list[float]:
    """Weights that are best on held-out images, which must be others than those fused."""
    held_out = ScoreFiles(args.tune, members.classes or members.reference.classes)
    val, test = held_out.reference, members.reference
    check_same_names(test.classes, val.classes, args.dumps[0], args.tune[0])
    names, rows, other = np.intersect1d(test.image_ids, val.image_ids, return_indices=True)
    paths = zip(test.image_paths[rows].tolist(), val.image_paths[other].tolist(), strict=True)
    apart = np.array([different_files(*both) for both in paths], bool)
    if apart.any():
        first = int(apart.argmax())
        print(
            f'note: {apart.sum()} ids, such as {plain_text(names[first])}, are in {args.dumps[0]} and in '
            f'{args.tune[0]} with other paths ({plain_text(test.image_paths[rows[first]])}, '
            f'{plain_text(val.image_paths[other[first]])}): taken for other images'
        )
    shared = names[~apart]
    if len(shared):
        raise ValueError(
            f'{args.tune[0]} is not held out: {len(shared)} of its images, such as {plain_text(shared[0])}, are in '
            f'{args.dumps[0]} as well; tune on other images than those that the figures are reported on'
        )

    def figure(total: np.ndarray) -> float:
        scores = finish(total, args.mode)  # as the fusion will be
        return 100 * float(mean_of_known(average_precision(scores, val.targets, protocol.ap, protocol.ties)))

    found = select_members(lambda: parts(held_out, args.mode), figure)
    print(
        f'held-out mAP on {len(val.targets)} images: best single model {found.best_single:.2f}, equal weights '
        f'{found.equal:.2f}, tuned {found.tuned:.2f}'
    )
    print('--weights ' + ' '.join(f'{weight:.6g}' for weight in found.weights))
    return found.weights.tolist()


def compare(
    args: argparse.Namespace, members: ScoreFiles, shares: np.ndarray, fused: np.ndarray, protocol: Protocol
) -> None:
    """Print each member beside the fusion and the interval of the difference, and plot the classes' gain."""
    reference = members.reference

    def evaluate(scores: np.ndarray, path: str = '') -> dict[str, Any]:
        return evaluate_scores(scores, reference.targets, protocol, per_class=True, classes=reference.classes)

    result = evaluate(fused)
    unknown = [name for name in args.figures if not isinstance(result.get(name), float)]
    if unknown:
        raise ValueError(f'unknown figure {unknown[0]!r}; preset {protocol.title} gives {", ".join(result)}')
    singles = dict(zip(members.paths, members.read(evaluate), strict=True))
    title = f'preset {protocol.title}'
    width = max(map(len, [*members.paths, title, 'fusion − model']))
    print(f'\n{title:{width}}  weight' + ''.join(f'{name:>9}' for name in args.figures))
    for share, (path, single) in zip(shares, singles.items(), strict=True):
        print(f'{path:{width}}  {share:6.3f}' + ''.join(f'{single[name]:9.2f}' for name in args.figures))
    print(f'{"fusion":{width}}        ' + ''.join(f'{result[name]:9.2f}' for name in args.figures))

    best = max(singles, key=lambda path: singles[path][args.figures[0]])
    if args.resamples != 0:
        every = len(members) <= MOST_COMPARED and fused.size * len(members) <= 2 * FULL_RESAMPLES
        resamples = args.resamples or max(100, min(1000, 1000 * FULL_RESAMPLES // fused.size))
        compared = members.paths if every else [best]
        print(f'\n95 % interval over images, {resamples} resamples' + ('' if every else ', best single model'))
        print(f'{"fusion − model":{width}}' + ''.join(f'{name:>25}' for name in args.figures))
        rows = differences(
            args,
            protocol,
            fused,
            list(members.read(lambda scores, path: scores, compared)),
            reference.targets,
            resamples,
        )
        for path, row in zip(compared, rows, strict=True):
            gains = [result[name] - singles[path][name] for name in args.figures]
            cells = [f'{gain:+.2f} [{low:+.2f}, {high:+.2f}]' for gain, (low, high) in zip(gains, row, strict=True)]
            print(f'{path:{width}}' + ''.join(f'{cell:>25}' for cell in cells))
    if args.plot:
        plot_gain(args.plot, singles[best]['per_class'], result['per_class'], Path(best).name)
        print(f'\nplot: {args.plot}')


def differences(
    args: argparse.Namespace,
    protocol: Protocol,
    fused: np.ndarray,
    singles: list[np.ndarray],
    targets: np.ndarray,
    resamples: int,
) -> np.ndarray:
    """Intervals ``(M, figures, 2)`` of the fusion minus each of M models, all on the same resampled images."""

    auroc = any(name.startswith('AUROC') for name in args.figures)

    def figures(rows: np.ndarray) -> np.ndarray:
        results = [evaluate_scores(s[rows], targets[rows], protocol, auroc=auroc) for s in (fused, *singles)]
        values = np.array([[result.get(name, np.nan) for name in args.figures] for result in results])
        return (values[0] - values[1:]).ravel()

    ends = bootstrap_interval(figures, len(targets), resamples)
    return np.stack(ends, axis=-1).reshape(len(singles), len(args.figures), 2)


def plot_gain(out: Path, single: dict[str, list], fused: dict[str, list], name: str) -> None:
    """Write bars of the AP of each class, fusion minus the best single model, the largest gain first."""
    from matplotlib.figure import Figure

    gain = np.subtract(fused['AP'], single['AP'])
    known = [int(i) for i in np.argsort(-gain, kind='stable') if np.isfinite(gain[i])]
    height = np.arange(len(known))
    figure = Figure(figsize=(7, 1.4 + 0.22 * max(4, len(known))), layout='constrained')
    axes = figure.subplots()
    axes.barh(height, gain[known], color=['tab:blue' if gain[i] >= 0 else 'tab:red' for i in known])
    axes.axvline(0, color='black', linewidth=0.8)
    mean = gain[known].mean() if known else 0.0
    axes.axvline(mean, color='black', linewidth=1, linestyle='--')
    names = [f'{plain_text(fused["names"][i])} ({fused["AP"][i]:.1f})' for i in known]
    axes.set_yticks(height, names, fontsize=8, parse_math=False)
    axes.set_ylim(max(4, len(known)) - 0.3, -0.7)
    axes.set_title(f'Fusion against {plain_text(name)}, the best single model', fontsize=10, parse_math=False)
    axes.set_xlabel(f'gain in AP, percentage points; mean {mean:+.2f} (dashed); in brackets the AP of the fusion')
    axes.grid(axis='x', linewidth=0.4)
    axes.set_axisbelow(True)
    with atomic_write(out) as part:
        figure.savefig(part, dpi=130)


if __name__ == '__main__':
    main()
