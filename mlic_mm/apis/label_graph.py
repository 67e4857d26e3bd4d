"""Build the label graph of a training set."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.label_graphs.embeddings import label_embeddings
from mlic_mm.label_graphs.foreign_pickle import embeddings_from_pickle, graph_from_pickle
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_names
from mlic_mm.utils.choices import check_choice, did_you_mean
from mlic_mm.utils.file_name import check_ending
from mlic_mm.utils.name_list import read_names
from mlic_mm.utils.plain_text import plain_text

from .count_labels import count_labels

__all__ = ['BuiltLabelGraph', 'build_label_graph', 'centered']

MOST_LISTED = 10


class BuiltLabelGraph(NamedTuple):
    """A label graph and where it was written. ``str()`` of it is a summary.

    Attributes:
        graph: The graph.
        out: Its file.
        counted: What was counted, in a line.
    """

    graph: LabelGraphData
    out: Path
    counted: str

    def __str__(self) -> str:
        graph = self.graph
        edges = graph.edges()
        isolated = np.setdiff1d(np.arange(len(graph.classes)), edges)
        images = f'{graph.num_images} images' if graph.num_images else 'an unknown number of images'
        vectors = 'none' if graph.embeddings is None else f'{graph.embeddings.shape[1]}-d'
        lines = [
            f'{self.out}: {len(graph.classes)} labels in {images}, {edges.shape[1]} edges at P(j given i) ≥ '
            f'{graph.threshold}, word vectors: {vectors}',
            self.counted,
            _listed('labels without an edge', [graph.classes[i] for i in isolated]),
            _listed('labels never seen', [graph.classes[i] for i in np.flatnonzero(graph.counts == 0)]),
        ]
        rows, cols = graph.cooccurrence.nonzero()
        chance = graph.cooccurrence.data / graph.counts[rows]
        for k in np.lexsort((-graph.cooccurrence.data, -chance))[:5]:  # of equally certain ones the most frequent
            pair = plain_text(f'{graph.classes[rows[k]]} → {graph.classes[cols[k]]}')
            lines.append(f'  {pair}: {chance[k]:.2f} ({graph.cooccurrence.data[k]} of {graph.counts[rows[k]]})')
        return '\n'.join(lines)


def build_label_graph(
    config: str | Path | None = None,
    out: str | Path | None = None,
    *,
    force: bool = False,
    difficult: Literal['leave-out', 'count'] = 'leave-out',
    threshold: float = 0.5,
    word_vectors: str | None = None,
    center: bool = False,
    on_missing: Literal['error', 'random'] = 'error',
    aliases: Mapping[str, str] | None = None,
    from_pickle: str | Path | None = None,
    classes_order: Literal['alphabetical', 'dataset'] | None = None,
    classes: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> BuiltLabelGraph:
    """Count the training labels of a config and write them as a label graph.

    Args:
        config: Its ``train_dataloader.dataset`` is counted. None is allowed for the counts of a pickle, with names.
        out: The file to write, .npz or .json. Defaults to ``model.head.label_graph.graph`` of the config.
        force: Replace an existing file.
        difficult: Whether labels of difficult objects alone (VOC) count.
        threshold: An edge leads from i to j if P(j given i) is at least this.
        word_vectors: Text file (GloVe, word2vec, fastText), ``glove-50d``, ``FILE.npz:KEY``, or a pickle with one
            vector per label.
        center: Subtract the mean word vector.
        on_missing: What to do with words that have no vector.
        aliases: Words to look up for a label, by label.
        from_pickle: Take the counts from ML-GCN's pickle of ``dict(adj, nums)``.
        classes_order: Order of the rows of a pickle.
        classes: File with the names of the rows of a pickle.
        options: Settings of the config to override, by dotted keys.

    Returns:
        The graph, its file and what was counted.

    Raises:
        FileNotFoundError: The config, a pickle or the word vectors are missing.
        FileExistsError: ``out`` exists, and ``force`` is false.
        ValueError: An option is invalid, the data set cannot be counted, or names of labels differ.

    Example:
        >>> print(build_label_graph('configs/deeplift_demo.py', 'digits.npz'))  # doctest: +SKIP
        digits.npz: 10 labels in 2000 images, 4 edges at P(j given i) ≥ 0.5, word vectors: none
        …
    """
    check_choice('difficult', difficult, ('leave-out', 'count'))
    check_choice('on_missing', on_missing, ('error', 'random'))
    check_choice('classes_order', classes_order, ('alphabetical', 'dataset', None))
    is_pickle = bool(from_pickle or (word_vectors and Path(word_vectors).suffix == '.pkl'))
    _check_options(config, out, from_pickle, is_pickle, classes, classes_order, center and not word_vectors)
    cfg = _load_config(config, options) if config else None
    file = Path(out) if out else _default_out(cfg)
    check_ending('out', file, ('.npz', '.json'))
    check_can_write(file, force)

    counted, what = count_labels(cfg, threshold, difficult == 'count') if cfg else (None, '')
    rows = read_names(classes) if classes else _ordered(counted, classes_order)
    graph = counted
    if from_pickle:
        what = f'counted: what is in {from_pickle}'
        graph = graph_from_pickle(from_pickle, rows, threshold)
        if counted:
            check_same_names(counted.classes, rows, str(config), f'{classes}')
            graph = graph.reordered(counted.classes)
            _warn_of_wrong_order(graph, counted, from_pickle)
    assert graph is not None
    _check_aliases(aliases or {}, graph.classes)
    if word_vectors:
        vectors = _embeddings(word_vectors, graph.classes, rows, on_missing, aliases)
        graph = replace(graph, embeddings=centered(vectors) if center else vectors)
    graph.save(file)
    return BuiltLabelGraph(graph, file, what)


def centered(vectors: np.ndarray) -> np.ndarray:
    """Subtract the mean of vectors ``(C, d)``, and bring the rest back to their mean length.

    Example:
        >>> centered(np.array([[3.0, 4.0], [3.0, 0.0]])).tolist()
        [[0.0, 4.0], [0.0, -4.0]]
    """
    rest = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(rest, axis=1).mean()
    if length == 0:
        raise ValueError('--center leaves nothing: all labels have the same word vector')
    return rest * (np.linalg.norm(vectors, axis=1).mean() / length)


def _check_options(
    config: object, out: object, from_pickle: object, is_pickle: bool, classes: object, order: object, no_vectors: bool
) -> None:
    if is_pickle and not (classes or order):
        raise ValueError('a pickle stores no names: say in which order its rows are by --classes-order or --classes')
    if not is_pickle and (classes or order):
        raise ValueError('--classes and --classes-order describe the rows of a pickle, and none is given')
    if config is None and not (from_pickle and classes and out):
        raise ValueError('without a config, --from-pickle, --classes and --out are needed')
    if no_vectors:
        raise ValueError('--center changes word vectors, and none are given: add --word-vectors')


def _check_aliases(aliases: Mapping[str, str], classes: tuple[str, ...]) -> None:
    """Refuse words for an unknown label."""
    for name, words in aliases.items():
        if name not in classes:
            known = did_you_mean(name, classes, 1, listed=MOST_LISTED)
            raise ValueError(f'--alias {name}={words}: there is no label {name!r}{known}')


def _load_config(path: str | Path, options: Mapping[str, Any] | None) -> Config:
    cfg = read_config(path, options)
    if not cfg.get('train_dataloader'):
        raise ValueError(f'{path} has no train_dataloader, so there are no training labels to count')
    return cfg


def _default_out(cfg: Config | None) -> Path:
    """Return the file in which the model of the config looks for its graph."""
    assert cfg is not None
    graph = cfg.get('model', {}).get('head', {}).get('label_graph', {}).get('graph')
    return Path(graph) if isinstance(graph, str) else Path('data/label_graphs', Path(cfg.filename).stem + '.npz')


def _ordered(counted: LabelGraphData | None, order: str | None) -> tuple[str, ...]:
    """Return the names of the rows of a pickle, if there is one."""
    if counted is None or order is None:
        return ()
    return tuple(sorted(counted.classes)) if order == 'alphabetical' else counted.classes


def _warn_of_wrong_order(graph: LabelGraphData, counted: LabelGraphData, path: str | Path) -> None:
    """Warn if the counts seem to belong to other labels, as they do if rows are in another order."""
    if len(graph.classes) > 2:
        correlation = np.corrcoef(np.log1p(graph.counts), np.log1p(counted.counts))[0, 1]
        if not correlation > 0.8:
            print(
                f'warning: the counts in {path} hardly resemble the training labels (correlation {correlation:.2f}): '
                'are its rows in another order?',
                file=sys.stderr,
            )


def _embeddings(
    source: str,
    classes: tuple[str, ...],
    rows: tuple[str, ...],
    on_missing: Literal['error', 'random'],
    aliases: Mapping[str, str] | None,
) -> np.ndarray:
    if Path(source).suffix == '.pkl':
        check_same_names(classes, rows, 'the label graph', f'the rows of {source}')
        vectors = embeddings_from_pickle(source, len(rows))
        return vectors[[rows.index(name) for name in classes]]
    return label_embeddings(classes, source, on_missing=on_missing, aliases=aliases)


def _listed(what: str, names: list[str]) -> str:
    more = f', … and {len(names) - MOST_LISTED} more' if len(names) > MOST_LISTED else ''
    return f'{what}: {len(names)}' + (f' ({", ".join(map(plain_text, names[:MOST_LISTED]))}{more})' if names else '')
