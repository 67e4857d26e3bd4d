"""Fuse the scores of several models and print what it gains over each of them.

    python tools/fuse_scores.py m2_512.npz m3_512.npz --out fused.npz --plot gain.svg
    python tools/fuse_scores.py a.npz b.npz c.npz --tune a_val.npz b_val.npz c_val.npz
    python tools/fuse_scores.py a.npz mmpretrain_results.pkl --mode rank

Files are those of tools/test.py --out, or result pickles of mmengine, of which no code is ever run. Images are matched
by their ids, classes by their names. What the modes do and how weights are tuned: docs/ensembles.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _clone  # noqa: F401

from mlic_mm.apis.fuse_scores import fuse_score_files
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.cli.protocol_options import add_protocol_options, chosen_protocol
from mlic_mm.evaluation.scores.score_fusion import MODES


def parse(argv: Sequence[str] | None) -> dict[str, Any]:
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
    words = parser.parse_keywords(argv)
    return words | dict(protocol=chosen_protocol(words.pop('preset'), words['protocol']))


@command
def main(argv: Sequence[str] | None = None) -> None:
    fuse_score_files(**parse(argv))


if __name__ == '__main__':
    main()
