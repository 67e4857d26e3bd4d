"""Count the training labels of a config's data set and write them as a label graph, with label embeddings if asked.

    python tools/build_label_graph.py configs/deeplift_coco.py --word-vectors glove-50d
    python tools/build_label_graph.py configs/deeplift_coco.py --from-pickle coco_adj.pkl --classes-order alphabetical

The file format, word vectors and the order of labels in other codebases' pickles: docs/label_graph.md.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from mmengine.config import Config
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not

from mlic_mm.cli.command import CommandParser, ConfigOptions, command
from mlic_mm.config_files.config_file import read_config
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.label_graphs.embeddings import label_embeddings
from mlic_mm.label_graphs.foreign_pickle import embeddings_from_pickle, graph_from_pickle
from mlic_mm.registry import DATASETS
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes, check_same_names
from mlic_mm.utils.choices import did_you_mean
from mlic_mm.utils.json_file import read_json
from mlic_mm.utils.plain_text import plain_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
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
        '--alias', action='append', default=[], metavar='LABEL=WORDS', help='words to look up for a label; repeatable'
    )
    parser.add_argument('--from-pickle', type=Path, metavar='FILE', help="take counts from ML-GCN's dict(adj, nums)")
    order = parser.add_mutually_exclusive_group()
    order.add_argument(
        '--classes-order',
        choices=('alphabetical', 'dataset'),
        help="order of a pickle's rows",
    )
    order.add_argument('--classes', type=Path, metavar='FILE', help="names of a pickle's rows, one a line or JSON")
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override settings of the config')
    args = parser.parse_args(argv)

    pickles = args.from_pickle or (args.word_vectors and Path(args.word_vectors).suffix == '.pkl')
    if pickles and not (args.classes or args.classes_order):
        parser.error('a pickle stores no names: say in which order its rows are by --classes-order or --classes')
    if not pickles and (args.classes or args.classes_order):
        parser.error('--classes and --classes-order describe the rows of a pickle, and none is given')
    if args.config is None and not (args.from_pickle and args.classes and args.out):
        parser.error('without a config, --from-pickle, --classes and --out are needed')
    if args.center and not args.word_vectors:
        parser.error('--center changes word vectors, and none are given: add --word-vectors')
    if any('=' not in alias for alias in args.alias):
        parser.error('--alias must read LABEL=WORDS')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    build(parse_args(argv))


def build(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options) if args.config else None
    out = args.out or default_out(cfg)
    if out.suffix not in ('.npz', '.json'):
        raise ValueError(f'--out {out} must end in .npz or .json')
    check_can_write(out, args.force)

    counted, what = count_labels(cfg, args.threshold, args.difficult == 'count') if cfg else (None, '')
    rows = pickle_rows(args, counted)
    graph = counted
    if args.from_pickle:
        what = f'counted: what is in {args.from_pickle}'
        graph = graph_from_pickle(args.from_pickle, rows, args.threshold)
        if counted:
            check_same_names(counted.classes, rows, args.config, f'{args.classes}')
            graph = graph.reordered(counted.classes)
            warn_of_wrong_order(graph, counted, args.from_pickle)
    assert graph is not None
    check_aliases(args.alias, graph.classes)
    if args.word_vectors:
        vectors = embeddings(args, graph.classes, rows)
        graph = replace(graph, embeddings=centered(vectors) if args.center else vectors)
    graph.save(out)
    print(summary(graph, out, what))


def check_aliases(aliases: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse words for a label that there is not."""
    for name, _, words in (alias.partition('=') for alias in aliases):
        if name not in classes:
            known = did_you_mean(name, classes, 1, listed=10)
            raise ValueError(f'--alias {name}={words}: there is no label {name!r}{known}')


def centered(vectors: np.ndarray) -> np.ndarray:
    """``(C, d)`` vectors without their mean, brought back to their mean length."""
    rest = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(rest, axis=1).mean()
    if length == 0:
        raise ValueError('--center leaves nothing: all labels have the same word vector')
    return rest * (np.linalg.norm(vectors, axis=1).mean() / length)


def load_config(path: str, options: dict | None) -> Config:
    cfg = read_config(path, options)
    if not cfg.get('train_dataloader'):
        raise ValueError(f'{path} has no train_dataloader, so there are no training labels to count')
    return cfg


def default_out(cfg: Config | None) -> Path:
    """Where the model of the config looks for its graph."""
    assert cfg is not None  # parse_args asks for --out otherwise
    graph = cfg.get('model', {}).get('head', {}).get('label_graph', {}).get('graph')
    return Path(graph) if isinstance(graph, str) else Path('data/label_graphs', Path(cfg.filename).stem + '.npz')


def count_labels(cfg: Config, threshold: float, count_difficult: bool = False) -> tuple[LabelGraphData, str]:
    """Labels of the training data set, without decoding an image; a sample repeated by a wrapper counts once.

    Returns:
        tuple: The graph, and a line that says what was counted.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    try:
        leaves = list(unwrapped(DATASETS.build(without_pipelines(deepcopy(cfg.train_dataloader.dataset)))))
    except ValueError as error:
        raise ValueError(f'the training data set of {cfg.filename} cannot be read: {error}') from error
    classes = tuple(leaves[0].metainfo.get('classes') or ())
    if not classes:
        raise ValueError(f'{cfg.filename}: {type(leaves[0]).__name__} has no class names in its metainfo')
    for leaf in leaves[1:]:
        other = leaf.metainfo.get('classes') or ()
        check_same_classes(classes, other, 'the first data set of the config', f'another {type(leaf).__name__} in it')
    tally: Counter[str] = Counter()
    parts = [part for leaf in leaves for part in sparse_targets(leaf, len(classes), count_difficult, tally)]
    if not parts:
        raise ValueError(f'{cfg.filename}: the training data set is empty')
    graph = LabelGraphData.from_targets(sp.vstack(parts, format='csr'), classes, threshold)
    difficult = f'{tally["difficult"]} difficult'
    what = f'counted: {graph.counts.sum()} labels' + (f', {difficult} ones among them' if count_difficult else '')
    return graph, f'{what}; left out: {"" if count_difficult else difficult + ", "}{tally["ignored"]} ignored (-1)'


def without_pipelines(dataset: Any) -> Any:
    """``dataset`` (config) with every pipeline emptied, also in wrapped data sets: only labels are read."""
    if isinstance(dataset, dict):
        for key, value in dataset.items():
            dataset[key] = [] if key == 'pipeline' else without_pipelines(value)
    elif isinstance(dataset, list | tuple):
        return [without_pipelines(value) for value in dataset]
    return dataset


def unwrapped(dataset: Any) -> Iterator[Any]:
    """The data sets inside concatenating, repeating, balancing and folding wrappers."""
    dataset.full_init()  # a fold is chosen here
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from unwrapped(part)
    elif hasattr(dataset, 'dataset'):
        yield from unwrapped(dataset.dataset)
    else:
        yield dataset


def sparse_targets(
    dataset: Any, num_classes: int, count_difficult: bool, tally: Counter[str]
) -> Iterator[sp.csr_array]:
    """Targets ``(n, C)`` with 1, 0, −1 in parts small enough to be dense for a moment.

    Difficult labels become 1 or −1, as asked, since training may take them for either; ``tally`` counts them and the
    other −1.
    """
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    while part := list(islice(infos, max(1, 2**22 // num_classes))):
        dense = np.zeros((len(part), num_classes), dtype=np.float32)
        for row, info in zip(dense, part, strict=True):
            if 'gt_score' in info:
                row[:] = info['gt_score']
            elif 'gt_label' in info:
                row[info['gt_label']] = 1
            else:
                raise ValueError(f'{type(dataset).__name__} gives samples without gt_score and gt_label')
            difficult = list(info.get('gt_label_difficult') or ())
            if 'gt_score' not in info:  # mmpretrain's VOC lists those that have other objects, too
                difficult = [label for label in difficult if label not in info['gt_label']]
            row[difficult] = 1 if count_difficult else -1
            tally['difficult'] += len(difficult)
            tally['ignored'] += int((row == -1).sum()) - (0 if count_difficult else len(difficult))
        yield sp.csr_array(dense)


def pickle_rows(args: argparse.Namespace, counted: LabelGraphData | None) -> tuple[str, ...]:
    """Names of a pickle's rows, empty where no pickle is read."""
    if args.classes:
        if args.classes.suffix == '.json':
            names = read_json(str(args.classes))
        else:
            try:
                names = args.classes.read_text(encoding='utf-8-sig').splitlines()
            except UnicodeDecodeError as error:
                raise ValueError(f'{args.classes}: not UTF-8 at byte {error.start}; save it as UTF-8') from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f'{args.classes} must be a JSON list of names')
        return tuple(name.strip() for name in names if name.strip())
    if not args.classes_order:
        return ()
    assert counted is not None
    return tuple(sorted(counted.classes)) if args.classes_order == 'alphabetical' else counted.classes


def warn_of_wrong_order(graph: LabelGraphData, counted: LabelGraphData, path: Path) -> None:
    """Rows in another order than claimed match no training set: the counts would be those of other labels."""
    if len(graph.classes) > 2:
        correlation = np.corrcoef(np.log1p(graph.counts), np.log1p(counted.counts))[0, 1]
        if not correlation > 0.8:
            print(
                f'warning: the counts in {path} hardly resemble the training labels (correlation {correlation:.2f}): '
                'are its rows in another order?',
                file=sys.stderr,
            )


def embeddings(args: argparse.Namespace, classes: tuple[str, ...], rows: tuple[str, ...]) -> np.ndarray:
    if Path(args.word_vectors).suffix == '.pkl':
        check_same_names(classes, rows, 'the label graph', f'the rows of {args.word_vectors}')
        vectors = embeddings_from_pickle(args.word_vectors, len(rows))
        return vectors[[rows.index(name) for name in classes]]
    aliases = dict(alias.split('=', 1) for alias in args.alias)
    return label_embeddings(classes, args.word_vectors, on_missing=args.on_missing, aliases=aliases)


def summary(graph: LabelGraphData, out: Path, what: str) -> str:
    edges = graph.edges()
    isolated = np.setdiff1d(np.arange(len(graph.classes)), edges)
    images = f'{graph.num_images} images' if graph.num_images else 'an unknown number of images'
    vectors = 'none' if graph.embeddings is None else f'{graph.embeddings.shape[1]}-d'
    lines = [
        f'{out}: {len(graph.classes)} labels in {images}, {edges.shape[1]} edges at P(j given i) ≥ {graph.threshold}, '
        f'word vectors: {vectors}',
        *([what] if what else []),
        listed('labels without an edge', [graph.classes[i] for i in isolated]),
        listed('labels never seen', [graph.classes[i] for i in np.flatnonzero(graph.counts == 0)]),
    ]
    rows, cols = graph.cooccurrence.nonzero()
    chance = graph.cooccurrence.data / graph.counts[rows]
    for k in np.lexsort((-graph.cooccurrence.data, -chance))[:5]:  # of equally certain ones the most frequent
        pair = plain_text(f'{graph.classes[rows[k]]} → {graph.classes[cols[k]]}')
        lines.append(f'  {pair}: {chance[k]:.2f} ({graph.cooccurrence.data[k]} of {graph.counts[rows[k]]})')
    return '\n'.join(lines)


def listed(what: str, names: list[str], most: int = 10) -> str:
    more = f', … and {len(names) - most} more' if len(names) > most else ''
    return f'{what}: {len(names)}' + (f' ({", ".join(map(plain_text, names[:most]))}{more})' if names else '')


if __name__ == '__main__':
    main()
