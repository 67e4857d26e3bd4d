"""Find proposals in all images of a config's data set and write them into one file.

python tools/generate_proposals.py configs/_base_/datasets/voc07_448.py --split all --out data/proposals/voc07.st \\
    --generator EdgeBoxesGenerator --cfg-options patch_generator.edges=hed

What is done is kept in FILE.part/ until the file is written: after Ctrl-C the same command goes on from there.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.proposals import generate_proposals
from mlic_mm.cli.command import GOES_ON, command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.datasets.from_config import SPLITS


@command(interrupted=GOES_ON)
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config file, also one of a data set alone')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the file to write')
    parser.add_argument('--split', choices=(*SPLITS, 'all'), default='all', help='default: %(default)s')
    parser.add_argument(
        '--generator',
        metavar='TYPE',
        help='EdgeBoxesGenerator, SelectiveSearchGenerator, RPNGenerator or your own; default: patch_generator of the '
        'config. Its options: --cfg-options patch_generator.NAME=VALUE',
    )
    parser.add_argument('--num', type=int, help='most proposals of an image (default: of the generator, 1000)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='replace an existing file, and begin anew')
    parser.add_config_options()
    print(generate_proposals(**parser.parse_keywords(argv)))


if __name__ == '__main__':
    main()
