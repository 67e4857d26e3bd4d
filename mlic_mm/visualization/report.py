"""Build the report again from dumped scores: ``python -m mlic_mm.visualization.report scores.npz --out DIR``."""

import argparse
import sys
from collections.abc import Sequence

from mlic_mm.evaluation import PRESETS, ScoreDump

from .report_writer import write_report


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mlic_mm.visualization.report',
        description='Write a self-contained HTML report from dumped scores (without class maps: those need the model, '
        'tools/test.py draws them).',
    )
    parser.add_argument('scores', help='scores.npz as written by tools/test.py --out')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the report, DIR/index.html')
    parser.add_argument('--preset', default='mlgcn', choices=sorted(PRESETS), help='protocol (default: mlgcn)')
    parser.add_argument('--scalars', metavar='FILE', help='vis_data/scalars.json of the training run, for its curves')
    parser.add_argument('--num-mistakes', type=int, default=24, metavar='N', help='mistakes shown (default: 24)')
    parser.add_argument('--title', help='heading of the page')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report and print where it is; errors of the user's input end with status 1 and their message."""
    args = parse_args(argv)
    try:
        page = write_report(
            ScoreDump.load(args.scores),
            args.out,
            preset=args.preset,
            scalars=args.scalars,
            num_mistakes=args.num_mistakes,
            title=args.title,
        )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == '__main__':
    sys.exit(main())
