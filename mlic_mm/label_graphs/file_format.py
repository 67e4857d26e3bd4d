"""Arrays of a label graph in a file: ``.npz`` without pickle, or ``.json`` for people."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.atomic_write import atomic_write

FORMAT = 'mlic_mm.label_graph/1'
_BUILD = 'build it with: python tools/build_label_graph.py CONFIG --word-vectors glove-50d --out'
_REBUILD = 'rebuild it with: python tools/build_label_graph.py CONFIG --force --out'
_KEYS = ('format', 'classes', 'counts', 'pairs', 'pair_counts', 'num_images', 'threshold', 'edges')


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of a label graph with an atomic write.

    Args:
        path: File that ends in ``.npz`` or ``.json``.
        arrays: ``classes``, ``counts``, ``pairs``, ``pair_counts``, ``num_images``, ``threshold``, ``edges``, and
            perhaps ``embeddings``; see ``docs/label_graph.md``.

    Raises:
        ValueError: The suffix is neither ``.npz`` nor ``.json``.
    """
    fields: dict[str, Any] = {'format': np.array(FORMAT), **arrays}
    if path.suffix == '.npz':
        with atomic_write(path) as part, part.open('wb') as file:  # NumPy adds a suffix to a name, not to a file
            np.savez_compressed(file, **fields)
    elif path.suffix == '.json':
        with atomic_write(path) as part:
            part.write_bytes(_to_json(fields).encode())
    else:
        raise ValueError(f'cannot write {path}: a label graph ends in .npz or .json')


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a label graph. Nothing in the file is executed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or incomplete, or holds no label graph.
    """
    readers = {'.npz': _read_npz, '.json': _read_json}
    if not path.is_file():
        raise FileNotFoundError(f'label graph {path} not found; {_BUILD} {path}')
    if path.suffix not in readers:
        raise ValueError(
            f"{path} is no label graph (.npz or .json); convert another codebase's pickle with: "
            f'python tools/build_label_graph.py CONFIG --from-pickle {path} --out FILE.npz'
        )
    with name_unusable(path):
        fields = readers[path.suffix](path)
        missing = [key for key in _KEYS if key not in fields]
        if missing:
            raise ValueError(f'lacks {", ".join(missing)}')
        if str(fields['format']) != FORMAT:
            raise ValueError(f'has format {str(fields["format"])!r}, this version reads {FORMAT!r}')
    return fields


@contextmanager
def name_unusable(path: Path) -> Iterator[None]:
    """Add the file and the cure to errors about the content of a label graph.

    Raises:
        ValueError: Whatever is wrong with the content.
    """
    try:
        yield
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise ValueError(f'label graph {path} cannot be used: {error}; {_REBUILD} {path}') from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f'it is no .npz archive or was cut short ({path.stat().st_size} bytes)')
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {key: file[key] for key in (*_KEYS, 'embeddings') if key in file}
    except Exception as error:  # zipfile, its decoders and NumPy raise almost any error at damage
        raise ValueError(f'it is damaged ({show(str(error))})') from error
    if wrong := [key for key, value in fields.items() if not isinstance(value, np.ndarray)]:
        raise ValueError(f'its {wrong[0]} is no array')
    return fields


def _read_json(path: Path) -> dict[str, np.ndarray]:
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'it is no JSON or was cut short ({error})') from error
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


def _to_json(fields: Mapping[str, np.ndarray]) -> str:
    """Put one label, pair or vector on a line, so that people and ``diff`` can read the file."""
    lines = []
    for key, value in fields.items():
        rows: Any = (value.T if key in ('pairs', 'edges') else value).tolist()
        if isinstance(rows, list):
            text = '[\n' + ',\n'.join(f'    {json.dumps(row, ensure_ascii=False)}' for row in rows) + '\n  ]'
        else:
            text = json.dumps(rows, ensure_ascii=False)
        lines.append(f'  "{key}": {text}')
    return '{\n' + ',\n'.join(lines) + '\n}\n'
