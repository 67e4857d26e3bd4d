"""Score files of several models, read one after the other."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from .result_pickle import read_result_pickle
from .score_aligner import ScoreAligner
from .score_dump import ScoreDump

T = TypeVar('T')
_READERS = 2
_PICKLES = ('.pkl', '.pickle')


class ScoreFiles:
    """Scores of several models on the same images, read one after the other, two files ahead of their use.

    All scores are brought into the order of the first file. Memory does not grow with the number of files.

    Args:
        paths: ``.npz`` files of :class:`ScoreDump`, or ``.pkl`` files of mmengine's results.
        classes: Class names for ``.pkl`` files, in the order of the outputs of the models. Defaults to those of the
            first ``.npz`` file.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: There are no files, a file is given twice, there are pickles and no class names, or the first file
            cannot be used.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, score in (('a', 0.5), ('b', 0.25)):
        ...         _ = ScoreDump([[score]], [[1]], ['1'], [''], ('cat',)).save(f'{folder}/{name}.npz')
        ...     files = ScoreFiles([f'{folder}/a.npz', f'{folder}/b.npz'])
        ...     means = list(files.read(lambda scores, path: float(scores.mean())))
        >>> means
        [0.5, 0.25]
    """

    def __init__(self, paths: Sequence[str | Path], classes: Sequence[str] | None = None) -> None:
        self.paths = [str(path) for path in paths]
        if not self.paths:
            raise ValueError('no score files are given')
        for path in self.paths:
            if not os.path.isfile(path):
                raise FileNotFoundError(f'no score file at {path}: write it with tools/test.py --out')
        seen: dict[str, str] = {}
        for path in self.paths:
            file = os.path.realpath(path)
            if file in seen:
                raise ValueError(
                    f'{path} and {seen[file]} are one file: give each model once, and weights to prefer one'
                )
            seen[file] = path
        self.classes = None if classes is None else tuple(classes)
        first = self._first_dump()
        self._aligner = ScoreAligner(first, self.paths[0])

    @property
    def reference(self) -> ScoreDump:
        """The first file. All others have its images, classes and targets."""
        return self._aligner.reference

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, prepare: Callable[[np.ndarray, str], T], paths: Sequence[str] | None = None) -> Iterator[T]:
        """Yield ``prepare(scores, path)`` for every file, with scores ``(N, C)`` in the order of the reference.

        Reading and ``prepare`` run in two threads.

        Args:
            prepare: A function of the scores of a file, which must not change them.
            paths: Some of the files. Defaults to all.

        Raises:
            ValueError: A file cannot be read or does not match the first.
        """

        def load(path: str) -> T:
            scores = (
                self.reference.scores
                if path == self.paths[0]
                else self._aligner.align(self._load(path, paths=self._aligner.by_path), path)
            )
            return prepare(scores, path)

        with ThreadPoolExecutor(_READERS) as pool:
            waiting: deque[Future[T]] = deque()
            try:
                for path in self.paths if paths is None else paths:
                    waiting.append(pool.submit(load, path))
                    if len(waiting) > _READERS:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _first_dump(self) -> ScoreDump:
        if self.classes is None and any(_is_pickle(path) for path in self.paths):
            named = next((path for path in self.paths if not _is_pickle(path)), None)
            if named is None:
                raise ValueError(
                    f'{self.paths[0]} holds no class names: give them by --classes, or an .npz file of the same classes'
                )
            self.classes = ScoreDump.load(named).classes
        return self._load(self.paths[0])

    def _load(self, path: str, paths: bool = True) -> ScoreDump:
        return read_result_pickle(path, self.classes or ()) if _is_pickle(path) else ScoreDump.load(path, paths=paths)


def _is_pickle(path: str) -> bool:
    return Path(path).suffix.lower() in _PICKLES
