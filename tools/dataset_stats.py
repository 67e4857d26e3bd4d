"""Print and plot what a config's data set holds: label counts, labels per image, co-occurrence.

python tools/dataset_stats.py configs/deeplift_coco.py --split train --out stats.png
"""

from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.statistics import describe_dataset
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.datasets.from_config import SPLITS


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description='Print and plot label counts, labels per image and co-occurrence.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--out', type=Path, help='also write the plots to this .png')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    parser.add_config_options()
    print(describe_dataset(**parser.parse_keywords(argv)))


if __name__ == '__main__':
    main()
