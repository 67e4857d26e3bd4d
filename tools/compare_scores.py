"""Compare two models from the scores that ``tools/test.py --out`` wrote, with a paired bootstrap interval.

    python tools/compare_scores.py --a plain_seed0.npz plain_seed1.npz --b lift_seed0.npz lift_seed1.npz
    python tools/compare_scores.py --a plain.npz --b distilled.npz --plot gains.svg

Several files of one model are its runs with different seeds. Images are matched by their ids, classes by their names.
``--plot`` draws what b gains over a for each label, in points of AP with the interval over images, the label that most
images have on the left.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not

from mlic_mm.cli.command import CommandParser, command
from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol
from mlic_mm.evaluation import ScoreAligner, ScoreDump, paired_bootstrap
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.visualization.class_gains import class_gains, plot_class_gains
from mlic_mm.visualization.plots import PLOTS


@command
def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('--a', nargs='+', required=True, metavar='NPZ', help='runs of the first model')
    parser.add_argument('--b', nargs='+', required=True, metavar='NPZ', help='runs of the second model')
    add_protocol_options(parser)
    parser.add_argument('--figures', nargs='+', default=['mAP', 'CF1', 'OF1'])
    parser.add_argument('--resamples', type=int, default=1000)
    parser.add_argument('--plot', type=Path, metavar='FILE', help='plot the gain of each label (.svg, .png or .pdf)')
    parser.add_argument('--force', action='store_true', help='replace an existing plot')
    args = parser.parse_args(argv)
    if args.plot and args.plot.suffix.lower() not in PLOTS:
        parser.error(f'--plot {args.plot} must end in {", ".join(PLOTS)}')
    if args.plot:
        check_can_write(args.plot, args.force)
    protocol = chosen_protocol(args)
    aligner = ScoreAligner(ScoreDump.load(args.a[0]), args.a[0])
    first = aligner.reference
    runs = {path: aligner.align(ScoreDump.load(path), path) for path in [*args.a, *args.b]}
    runs_a, runs_b = ([runs[path] for path in paths] for paths in (args.a, args.b))
    result = paired_bootstrap(runs_a, runs_b, first.targets, args.figures, protocol, args.resamples)
    if args.plot:
        gains = class_gains(runs_a, runs_b, first.targets, first.classes, protocol, args.resamples)
        plot_class_gains(gains, args.plot, 'AP of b − AP of a, points')
    print(f'{len(first.targets)} images, preset {protocol.title}, {len(args.a)} and {len(args.b)} runs')
    print(f'{"":10}{"a":>8}{"b":>8}{"b − a":>8}  95 % interval over images')
    for name, row in result.items():
        print(f'{name:10}{row.a:8.2f}{row.b:8.2f}{row.difference:+8.2f}  [{row.low:+.2f}, {row.high:+.2f}]')
    if args.plot:
        print(f'plot: {args.plot}')


if __name__ == '__main__':
    main()
