"""Run a trained teacher once over a data set and keep what it says, so that students train without it.

python tools/cache_teacher.py configs/wsddn_voc07.py work_dirs/wsddn_voc07/epoch_20.pth --out data/teachers/voc07 \\
    --split train

The images go through the test pipeline of the config. Finished shards of 64 images are kept: after Ctrl-C the same
command goes on from there. A student reads the folder with mlic_mm.LoadTeacher, see docs/distillation.md. Options that
change model or pipeline (--cfg-options) belong into a config: LoadTeacher compares the cache with the config's file.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.teacher_cache import cache_teacher
from mlic_mm.cli.command import GOES_ON, command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.datasets.from_config import SPLITS


@command(interrupted=GOES_ON)
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config that trained the teacher')
    parser.add_argument('checkpoint', nargs='?', help='its weights; left out where the model of the config names them')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='the folder to write')
    parser.add_argument('--split', choices=SPLITS, default='train', help='default: %(default)s')
    parser.add_argument(
        '--layers', nargs='+', default=[], metavar='NAME', help='also keep the maps of these layers: backbone.layer3 …'
    )
    parser.add_argument('--iou-threshold', type=float, default=0.4, help='of the NMS on s′ (default: %(default)s)')
    parser.add_argument('--num-regions', type=int, default=100, help='kept after it (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=8, help='images at once (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=min(4, os.cpu_count() or 1), help='default: %(default)s')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 … (default: cuda where there is one)')
    parser.add_argument('--force', action='store_true', help='replace a cache that was written otherwise')
    parser.add_config_options()
    print(cache_teacher(**parser.parse_keywords(argv)))


if __name__ == '__main__':
    main()
