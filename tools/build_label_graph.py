"""Count the training labels of a config's data set and write them as a label graph, with label embeddings if asked.

    python tools/build_label_graph.py configs/deeplift_coco.py --word-vectors glove-50d
    python tools/build_label_graph.py configs/deeplift_coco.py --from-pickle coco_adj.pkl --classes-order alphabetical

The file format, word vectors and the order of labels in other codebases' pickles: docs/label_graph.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _clone  # noqa: F401

from mlic_mm.apis.label_graph import build_label_graph
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser


def parse(argv: Sequence[str] | None) -> dict[str, Any]:
    parser = CommandParser(description='Build the label graph of a training set.')
    parser.add_argument('config', nargs='?', help='config whose train_dataloader.dataset is counted')
    parser.add_argument('--out', type=Path, help='.npz or .json; default: model.head.label_graph.graph of the config')
    parser.add_argument('--force', action='store_true', help='replace an existing file')
    parser.add_argument(
        '--difficult',
        choices=('leave-out', 'count'),
        default='leave-out',
        help='labels of difficult objects alone (VOC), whatever the training does with them (default: %(default)s)',
    )
    parser.add_argument('--threshold', type=float, default=0.5, help='edge i → j where P(j given i) ≥ this')
    parser.add_argument(
        '--word-vectors',
        metavar='SOURCE',
        help='text file (GloVe, word2vec, fastText), glove-50d, FILE.npz:KEY, or a .pkl with one vector per label',
    )
    parser.add_argument(
        '--center',
        action='store_true',
        help='subtract the mean word vector: labels of one kind (numbers, colours) have vectors that are too alike',
    )
    parser.add_argument('--on-missing', choices=('error', 'random'), default='error', help='words without a vector')
    parser.add_argument(
        '--alias',
        dest='aliases',
        action='append',
        default=[],
        metavar='LABEL=WORDS',
        help='words to look up for a label; repeatable',
    )
    parser.add_argument('--from-pickle', type=Path, metavar='FILE', help="take counts from ML-GCN's dict(adj, nums)")
    order = parser.add_mutually_exclusive_group()
    order.add_argument('--classes-order', choices=('alphabetical', 'dataset'), help="order of a pickle's rows")
    order.add_argument('--classes', type=Path, metavar='FILE', help="names of a pickle's rows, one a line or JSON")
    parser.add_config_options('override settings of the config')
    words = parser.parse_keywords(argv)
    if any('=' not in alias for alias in words['aliases']):
        parser.error('--alias must read LABEL=WORDS')
    return words | dict(aliases=dict(alias.split('=', 1) for alias in words['aliases']))


@command
def main(argv: Sequence[str] | None = None) -> None:
    print(build_label_graph(**parse(argv)))


if __name__ == '__main__':
    main()
