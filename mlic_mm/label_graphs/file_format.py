"""Files of :class:`~mlic_mm.label_graphs.data.LabelGraphData`: ``.npz`` without pickle, ``.json`` for people."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.plain_text import check_text

from .data import LabelGraphData

FORMAT = 'mlic_mm.label_graph/1'
_BUILD = 'build it with: python tools/build_label_graph.py CONFIG --out'
_REBUILD = 'rebuild it with: python tools/build_label_graph.py CONFIG --force --out'
_KEYS = ('format', 'classes', 'counts', 'pairs', 'pair_counts', 'num_images', 'threshold', 'edges')


def write_label_graph(graph: LabelGraphData, path: Path) -> None:
    """Write ``graph`` to ``path``; the file appears whole or not at all.

    Raises:
        ValueError: If the suffix is neither ``.npz`` nor ``.json``.
    """
    fields: dict[str, Any] = _fields(graph)
    if path.suffix == '.npz':
        with atomic_write(path) as part, part.open('wb') as file:  # open, or NumPy adds to the name
            np.savez_compressed(file, **fields)
    elif path.suffix == '.json':
        with atomic_write(path) as part:
            part.write_bytes(_to_json(fields).encode())
    else:
        raise ValueError(f'cannot write {path}: a label graph ends in .npz or .json')


def read_label_graph(path: Path) -> LabelGraphData:
    """Read ``path``; see :meth:`LabelGraphData.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, incomplete, inconsistent, or no label graph.
    """
    readers = {'.npz': _read_npz, '.json': _read_json}
    if not path.is_file():
        raise FileNotFoundError(f'label graph {path} not found; {_BUILD} {path}')
    if path.suffix not in readers:
        raise ValueError(
            f"{path} is no label graph (.npz or .json); convert another codebase's pickle with: "
            f'python tools/build_label_graph.py CONFIG --from-pickle {path} --out FILE.npz'
        )
    try:
        fields = readers[path.suffix](path)
        missing = [key for key in _KEYS if key not in fields]
        if missing:
            raise ValueError(f'lacks {", ".join(missing)}')
        if str(fields['format']) != FORMAT:
            raise ValueError(f'has format {str(fields["format"])!r}, this version reads {FORMAT!r}')
        return _from_fields(fields)
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise ValueError(f'label graph {path} cannot be used: {error}; {_REBUILD} {path}') from error


def _fields(graph: LabelGraphData) -> dict[str, np.ndarray]:
    """The arrays of a file. Pairs are stored once (i < j); edges are there for other programs to read."""
    upper = sp.coo_array(sp.triu(graph.cooccurrence, k=1, format='csr'))
    fields = {
        'format': np.array(FORMAT),
        'classes': np.array(graph.classes, dtype=np.str_),
        'counts': graph.counts,
        'pairs': np.stack([upper.row, upper.col]).astype(np.int64),  # (2, P)
        'pair_counts': upper.data.astype(np.int64),  # (P,)
        'num_images': np.array(graph.num_images),
        'threshold': np.array(graph.threshold),
        'edges': graph.edges(),  # (2, E)
    }
    if graph.embeddings is not None:
        fields['embeddings'] = graph.embeddings
    return fields


def _from_fields(fields: dict[str, np.ndarray]) -> LabelGraphData:
    classes, pairs, pair_counts = fields['classes'], fields['pairs'], fields['pair_counts']
    if classes.dtype.kind != 'U' or classes.ndim != 1:
        raise ValueError(f'classes must be a list of names, got {classes.dtype} of shape {classes.shape}')
    check_text(classes, 'classes')
    if pairs.dtype.kind != 'i' or pairs.ndim != 2 or len(pairs) != 2 or pair_counts.shape != pairs.shape[1:]:
        raise ValueError(
            f'pairs {pairs.dtype} {pairs.shape} and pair_counts {pair_counts.shape} must be integers (2, P) and (P,)'
        )
    outside = pairs[(pairs < 0) | (pairs >= len(classes))]
    if outside.size:
        raise ValueError(f'pairs name label {outside[0]}, but there are {len(classes)} classes')
    if (pairs[0] >= pairs[1]).any() or len(np.unique(pairs[0] * len(classes) + pairs[1])) != pairs.shape[1]:
        raise ValueError('pairs must be distinct with the smaller label first')
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    graph = LabelGraphData(
        classes=tuple(classes.tolist()),
        counts=fields['counts'],
        cooccurrence=sp.csr_array((np.tile(pair_counts, 2), tuple(both)), shape=(len(classes),) * 2),
        num_images=int(fields['num_images'].item()),
        threshold=float(fields['threshold'].item()),
        embeddings=fields.get('embeddings'),
    )
    # A hand-edited threshold or count must not leave another program with other edges than ours.
    if not np.array_equal(graph.edges(), fields['edges']):
        raise ValueError('the stored edges are not those of its counts and threshold')
    return graph


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f'it is not an .npz archive or was cut short ({path.stat().st_size} bytes)')
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {key: file[key] for key in (*_KEYS, 'embeddings') if key in file}
    except Exception as error:  # damage surfaces as almost any error of zipfile, its decoders and NumPy
        raise ValueError(f'it is damaged ({show(str(error))})') from error
    if wrong := [key for key, value in fields.items() if not isinstance(value, np.ndarray)]:
        raise ValueError(f'its {wrong[0]} is no array')
    return fields


def _read_json(path: Path) -> dict[str, np.ndarray]:
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'it is not JSON or was cut short ({error})') from error
    if not isinstance(document, dict):
        raise ValueError(f'it holds a {type(document).__name__} instead of an object')
    fields: dict[str, np.ndarray] = {key: np.array(value) for key, value in document.items()}
    for key in ('pairs', 'edges', 'pair_counts'):
        if key in fields and fields[key].size == 0:
            fields[key] = fields[key].astype(np.int64).reshape((0,) if key == 'pair_counts' else (0, 2))
    for key in ('pairs', 'edges'):
        if key in fields:
            fields[key] = fields[key].T  # one pair a line in the file, (2, P) in memory
    return fields


def _to_json(fields: dict[str, np.ndarray]) -> str:
    """One label, pair or vector a line: short enough to read, and to compare with ``diff``."""
    lines = []
    for key, value in fields.items():
        rows: Any = (value.T if key in ('pairs', 'edges') else value).tolist()
        if isinstance(rows, list):
            text = '[\n' + ',\n'.join(f'    {json.dumps(row, ensure_ascii=False)}' for row in rows) + '\n  ]'
        else:
            text = json.dumps(rows, ensure_ascii=False)
        lines.append(f'  "{key}": {text}')
    return '{\n' + ',\n'.join(lines) + '\n}\n'
