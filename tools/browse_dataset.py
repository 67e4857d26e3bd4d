"""Write a contact sheet of a config's data set, with labels.

    python tools/browse_dataset.py configs/deeplift_coco.py --split train --out sheet.jpg
    python tools/browse_dataset.py configs/deeplift_coco.py --stage after --out augmented.jpg

``--stage before`` shows the files as they are, ``after`` what the pipeline makes of them. Labels are green, ignored
ones (-1) gray and in brackets. Boxes are drawn before the pipeline, where the data set gives them
(``--cfg-options train_dataloader.dataset.with_boxes=True``).
"""

from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.browse import browse_dataset
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.datasets.from_config import SPLITS


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description='Write a contact sheet of a data set, with labels.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--out', type=Path, default=Path('sheet.jpg'), help='.jpg or .png (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    parser.add_argument('--stage', choices=('before', 'after'), default='before', help='the pipeline (default: before)')
    parser.add_argument('--number', type=int, default=24, help='images to show (default: %(default)s)')
    parser.add_argument('--seed', type=int, help='draw the images at random; default: the first ones')
    parser.add_config_options()
    print(browse_dataset(**parser.parse_keywords(argv)))


if __name__ == '__main__':
    main()
