"""Write the report from dumped scores: ``python -m mlic_mm.visualization.report scores.npz --out DIR``."""

import argparse
import sys
from collections.abc import Sequence

from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol
from mlic_mm.evaluation import ScoreDump

from .writer import write_report


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = CommandParser(
        prog='python -m mlic_mm.visualization.report',
        description='Write a self-contained HTML report from dumped scores. Class maps need the model: tools/test.py '
        'draws them.',
    )
    parser.add_argument('scores', help='scores.npz as written by tools/test.py --out')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the report, DIR/index.html')
    add_protocol_options(parser)
    parser.add_argument(
        '--images',
        metavar='DIR',
        help='folder with the images; an image that the scores name is shown only if it is below this folder '
        '(default: no image is shown)',
    )
    parser.add_argument('--scalars', metavar='FILE', help='vis_data/scalars.json of the training run, for its curves')
    parser.add_argument('--num-mistakes', type=int, default=24, metavar='N', help='mistakes shown (default: 24)')
    parser.add_argument('--title', help='heading of the page')
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the report and print where it is."""
    args = parse_args(argv)
    page = write_report(
        ScoreDump.load(args.scores),
        args.out,
        preset=chosen_protocol(args.preset, args.protocol),
        scalars=args.scalars,
        images=args.images,
        num_mistakes=args.num_mistakes,
        title=args.title,
    )
    print(page)
    return 0


if __name__ == '__main__':
    sys.exit(main())
