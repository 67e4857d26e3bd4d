"""List the tables of the papers, run their rows, and put our figures beside the published ones.

    python tools/reproduce.py list                                # every table, and what it needs
    python tools/reproduce.py list mixup_baseline/2               # the rows of one, and which are done
    python tools/reproduce.py mixup_baseline/2 --dry-run          # what would be run
    python tools/reproduce.py mixup_baseline/2 --rows 'COCO/R/M3/*' --seeds 3 --gpus 8
    python tools/reproduce.py mixup_baseline/3 --data mini        # small data, small backbone, a CPU

A row is trained and tested once per seed; what is done is not run again, and a run that was stopped goes on from its
last checkpoint. A row that needs another's result, as a student needs its teacher, has that row run first. The model
after the last epoch is tested; nothing is chosen on the test images. Started twice at once, on two GPUs for example,
each takes the runs that the other has not begun.
"""

import sys
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.cli.stop import stop_status
from mlic_mm.reproduction.paper import DATA
from mlic_mm.reproduction.reproduce import reproduce


@command
def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument('target', help='list, or PAPER/TABLE')
    parser.add_argument('which', nargs='?', help='with list: PAPER or PAPER/TABLE')
    parser.add_argument('--rows', nargs='+', default=['*'], metavar='PATTERN', help="rows, such as 'COCO/R/M3/*'")
    parser.add_argument('--data', choices=DATA, default='full', help='full: the paper; mini: small data and backbone')
    parser.add_argument('--seeds', type=int, default=1, help='runs of each row, with seeds 0, 1 …')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run; the batch is divided')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'), help='where runs and tables go')
    parser.add_argument('--resamples', type=int, default=200, help='of the bootstrap')
    parser.add_argument('--dry-run', action='store_true', help='print what would be run')
    parser.add_config_options('override the config of every row: a.b=1')
    words = parser.parse_keywords(argv)
    try:
        reproduce(**words)
    except KeyboardInterrupt as stop:
        print('\nstopped; the same command goes on from here')
        return stop_status(stop)
    return 0


if __name__ == '__main__':
    sys.exit(main())
