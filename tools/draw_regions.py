"""Draw what a detector finds in test images.

    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR
    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR --without plain.npz --with distilled.npz --best-boxes
    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR --threshold 0.4

Writes DIR/regions.png. Of a weakly supervised detector (WSDDNHead) the regions that have the highest objectness s', and
beside each image the best labels of the teacher and of those score files (``tools/test.py --out``) that are given.
Images are spread evenly over the test set, those with two or three labels first.

Of a network with a context branch (SpatialContextHead) the detections that score ``--threshold`` or more, in red those
that the object branch alone leaves below it, and whether such an object is there. Images are looked at in random order
until ``--num`` have something in red; how many were looked at, and what was red in them, is printed.

``--images`` names images in either case.
"""

from collections.abc import Sequence
from pathlib import Path

import _clone  # noqa: F401
import torch

from mlic_mm.apis.region_pictures import draw_region_pictures
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='its head is mlic_mm.WSDDNHead or mlic_mm.SpatialContextHead')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for regions.png')
    parser.add_argument('--force', action='store_true', help='replace an existing picture')
    parser.add_argument('--num', type=int, default=12, help='images to draw (default: %(default)s)')
    parser.add_argument('--images', nargs='+', metavar='ID', help='these images, in this order')
    parser.add_argument('--regions', type=int, default=10, help='regions to draw of each (default: %(default)s)')
    parser.add_argument('--best-boxes', action='store_true', help='draw the best box of each true label too')
    parser.add_argument('--without', type=Path, metavar='NPZ', help='scores of the student without distillation')
    parser.add_argument('--with', type=Path, metavar='NPZ', dest='distilled', help='scores of the distilled student')
    parser.add_argument('--threshold', type=float, default=0.5, help='of detections (default: %(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    parser.add_config_options()
    print(draw_region_pictures(**parser.parse_keywords(argv)))


if __name__ == '__main__':
    main()
