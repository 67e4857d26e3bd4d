"""Scores of a data set in a file, with all that is needed to evaluate, compare and fuse them later."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from mlic_mm.utils.atomic_write import atomic_write

from ..functional.matrices import as_array
from .image_names import distinct_ids
from .npz_reader import read_npz

_ENTRIES = ('scores', 'targets', 'image_ids', 'image_paths', 'classes')


@dataclass(frozen=True, eq=False)
class ScoreDump:
    """Scores and targets of N images and C classes, with the names of both.

    Args:
        scores: float32 ``(N, C)``.
        targets: int8 ``(N, C)``: 1 present, 0 absent, −1 ignored.
        image_ids: str ``(N,)``.
        image_paths: str ``(N,)``, '' for an unknown path.
        classes: C names in the order of the columns.

    Raises:
        ValueError: Shapes or numbers of names do not fit together, or a target is outside {−1, 0, 1}.

    Examples:
        >>> import tempfile
        >>> dump = ScoreDump([[0.9, 0.1]], [[1, 0]], ['a'], ['images/a.jpg'], ('cat', 'dog'))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = ScoreDump.load(dump.save(f'{folder}/scores.npz'))
        >>> again.classes, again.targets.tolist()
        (('cat', 'dog'), [[1, 0]])
    """

    scores: np.ndarray
    targets: np.ndarray
    image_ids: np.ndarray
    image_paths: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        targets = np.asarray(self.targets)
        kind = targets.dtype.kind
        whole = kind in 'iub' or (kind == 'f' and bool((targets == np.round(targets)).all()))
        if targets.size and not (whole and targets.min() >= -1 and targets.max() <= 1):
            raise ValueError('targets hold values other than 1 (present), 0 (absent) and -1 (ignored)')
        for name, value in (
            ('scores', as_array(self.scores, 'scores').astype(np.float32, copy=False)),
            ('targets', targets.astype(np.int8, copy=False)),
            ('image_ids', np.asarray(self.image_ids, dtype=np.str_)),
            ('image_paths', np.asarray(self.image_paths, dtype=np.str_)),
            ('classes', tuple(str(name) for name in self.classes)),
        ):
            object.__setattr__(self, name, value)
        if self.scores.ndim != 2 or self.scores.shape != self.targets.shape:
            raise ValueError(f'scores {self.scores.shape} and targets {self.targets.shape} must both be (N, C)')
        num_images, num_classes = self.scores.shape
        for name, ids in (('image_ids', self.image_ids), ('image_paths', self.image_paths)):
            if ids.shape != (num_images,):
                raise ValueError(f'{name} {ids.shape} must be ({num_images},), one for each row of the scores')
        if len(self.classes) != num_classes:
            raise ValueError(f'{len(self.classes)} class names for {num_classes} columns of scores')

    def with_distinct_ids(self) -> 'ScoreDump':
        """Return the dump itself, or, if ids occur twice, one with those of :func:`distinct_ids`."""
        ids = self.image_ids.tolist()
        if len(set(ids)) == len(ids):
            return self
        return replace(self, image_ids=np.array(distinct_ids(ids, self.image_paths.tolist())))

    def save(self, path: str | Path) -> Path:
        """Write a ``.npz`` file. The write is atomic; an older file is replaced. The same dump gives the same bytes.

        Scores are not compressed: this would save a tenth of their size, and make writing and reading eight times
        slower. The rest shrinks to a tenth at the fastest level.

        Raises:
            ValueError: The name does not end in ``.npz``.
        """
        path = check_npz_name(path)
        with atomic_write(path) as part, part.open('wb') as file:
            self._write(file)
        return path

    def _write(self, file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, 'w', compresslevel=1) as archive:
            for name in _ENTRIES:
                array = np.asarray(getattr(self, name), dtype=np.str_ if name == 'classes' else None)
                archive.compression = zipfile.ZIP_STORED if name == 'scores' else zipfile.ZIP_DEFLATED
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    @classmethod
    def load(cls, path: str | Path, *, paths: bool = True) -> 'ScoreDump':
        """Read a file of :meth:`save`. No code of the file is executed.

        Args:
            path: The file.
            paths: Whether to read ``image_paths``. Without them, reading takes a quarter less time.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is of another kind, cut short or encrypted, holds pickled objects, asks for more memory
                than its size explains, or has parts that do not fit together.
        """
        path = Path(path)
        cure = 'write it again with tools/test.py --out or the metric mlic_mm.DumpScores'
        if not path.is_file():
            raise FileNotFoundError(f'no score file at {path}: {cure}')
        try:
            arrays = read_npz(path, _ENTRIES, [name for name in _ENTRIES if paths or name != 'image_paths'])
            arrays.setdefault('image_paths', np.full(arrays['image_ids'].shape, ''))
            classes = tuple(arrays.pop('classes').tolist())
            return cls(**arrays, classes=classes)
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path} is no score file that can be read ({error}): {cure}') from error


def check_npz_name(path: str | Path) -> Path:
    """Return the path of a score file.

    Raises:
        ValueError: It does not end in ``.npz``.
    """
    if Path(path).suffix != '.npz':
        raise ValueError(f'{path} must end in .npz: name the file {Path(path).stem}.npz')
    return Path(path)
