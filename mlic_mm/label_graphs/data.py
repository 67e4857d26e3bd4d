"""Label statistics of a training set and the graph they define, kept together with the label names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from mlic_mm.utils.checks import check_same_names


@dataclass(frozen=True, eq=False)
class LabelGraphData:
    r"""Co-occurrence of C labels over a training set, thresholded to a directed graph on demand.

    An edge leads from label i to label j where :math:`P(j \mid i) = M_{ij} / N_i \ge \tau`, with :math:`M` the number
    of images that show both labels and :math:`N` the number that show one (Deep-LIFT, section III; the same
    statistics as ML-GCN's). Everything is sparse: the cost is in pairs that do occur, not C².

    Args:
        classes (tuple[str, ...]): Unique label names; they fix the order of every other field.
        counts (np.ndarray): Images per label, int64 of shape ``(C,)``.
        cooccurrence (scipy.sparse.csr_array): Images per pair of labels, symmetric int64 ``(C, C)``, zero diagonal.
        num_images (int): Images counted; 0 when unknown (matrices converted from other codebases).
        threshold (float): Default :math:`\tau` in (0, 1].
        embeddings (np.ndarray, optional): One vector per label, float32 ``(C, d)``.

    Raises:
        ValueError: If sizes disagree, names repeat, or the numbers cannot be counts of one data set.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    cooccurrence: sp.csr_array
    num_images: int
    threshold: float = 0.5
    embeddings: np.ndarray | None = None

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise TypeError(f'classes must be a sequence of names, got the string {self.classes!r}')
        classes = tuple(str(name) for name in self.classes)
        matrix = sp.csr_array(self.cooccurrence, copy=True)
        # Arrays in canonical order and dtype make files byte-stable and edges sorted.
        normal = {
            'classes': classes,
            'counts': _whole_numbers(np.asarray(self.counts), 'counts'),
            'cooccurrence': sp.csr_array(
                (_whole_numbers(matrix.data, 'cooccurrence'), matrix.indices, matrix.indptr), shape=matrix.shape
            ),
            'num_images': int(self.num_images),
            'threshold': _checked_threshold(self.threshold),
        }
        normal['cooccurrence'].sum_duplicates()
        normal['cooccurrence'].eliminate_zeros()
        if self.embeddings is not None:
            normal['embeddings'] = np.ascontiguousarray(self.embeddings, dtype=np.float32)
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        num_classes = len(self.classes)
        if num_classes == 0:
            raise ValueError('a label graph needs at least one class')
        repeated = [name for name, times in Counter(self.classes).items() if times > 1]
        if repeated:
            raise ValueError(f'class names must be unique, but {repeated[0]!r} is there more than once')
        if '' in self.classes:
            raise ValueError(f'class {self.classes.index("")} has an empty name')
        if self.counts.shape != (num_classes,):
            raise ValueError(f'{num_classes} classes need counts of shape ({num_classes},), got {self.counts.shape}')
        matrix = self.cooccurrence
        if matrix.shape != (num_classes, num_classes):
            raise ValueError(
                f'{num_classes} classes need as many rows and columns of co-occurrence, got {matrix.shape}'
            )
        if (self.counts < 0).any() or (matrix.data < 0).any():
            raise ValueError('counts and co-occurrence must not be negative')
        if matrix.diagonal().any():
            raise ValueError('the co-occurrence matrix must have a zero diagonal; images per label belong in counts')
        rows, cols = (matrix != matrix.T).nonzero()
        if rows.size:
            i, j = rows[0], cols[0]
            raise ValueError(
                f'the co-occurrence matrix is not symmetric: {self.classes[i]!r} with {self.classes[j]!r} '
                f'{matrix[i, j]}×, the other way round {matrix[j, i]}×'
            )
        rows, _ = matrix.nonzero()
        over = np.flatnonzero(matrix.data > self.counts[rows])
        if over.size:
            name = self.classes[rows[over[0]]]
            raise ValueError(f'{name!r} is counted less often than one of its pairs: these counts belong to other data')
        if self.num_images < 0 or (self.num_images and self.counts.max() > self.num_images):
            raise ValueError(f'num_images is {self.num_images}, but a label occurs in {self.counts.max()} images')
        if self.embeddings is not None:
            if self.embeddings.ndim != 2 or len(self.embeddings) != num_classes or self.embeddings.shape[1] == 0:
                raise ValueError(f'embeddings must have shape ({num_classes}, d), got {self.embeddings.shape}')
            if not np.isfinite(self.embeddings).all():
                row = int(np.flatnonzero(~np.isfinite(self.embeddings).all(axis=1))[0])
                raise ValueError(f'the embedding of {self.classes[row]!r} holds NaN or infinity')

    @classmethod
    def from_targets(
        cls, targets: 'np.ndarray | sp.sparray', classes: Sequence[str], threshold: float = 0.5
    ) -> 'LabelGraphData':
        """Count labels and pairs of labels.

        Args:
            targets (np.ndarray | scipy.sparse.sparray): ``(N, C)`` with 1 present, 0 absent, −1 ignored (counts as
                absent). Sparse input keeps thousands of labels cheap.
            classes (Sequence[str]): C label names.
            threshold (float): Default threshold of the graph.

        Raises:
            ValueError: If the shape is not ``(N, C)`` with N ≥ 1 or a value is none of 1, 0, −1.
        """
        if not sp.issparse(targets):
            targets = np.asarray(targets)
        if targets.ndim != 2 or targets.shape[0] == 0 or targets.shape[1] != len(classes):
            raise ValueError(f'targets must have shape (N, {len(classes)}) with N ≥ 1, got {tuple(targets.shape)}')
        values = sp.csr_array(targets).data if sp.issparse(targets) else targets
        wrong = values[(values != 0) & (values != 1) & (values != -1)]
        if wrong.size:
            raise ValueError(f'targets must be 1 (present), 0 (absent) or −1 (ignored), found {wrong[0]}')
        present = sp.csr_array(targets == 1).astype(np.int64)  # (N, C)
        pairs = sp.csr_array(present.T @ present)  # (C, C), labels with themselves on the diagonal
        counts = pairs.diagonal()
        pairs = pairs - sp.diags_array(counts, format='csr', dtype=np.int64)
        return cls(tuple(classes), counts, pairs, num_images=targets.shape[0], threshold=threshold)

    def edges(self, threshold: float | None = None) -> np.ndarray:
        """Edges i → j with P(j given i) ≥ τ.

        Args:
            threshold (float, optional): τ in (0, 1]; the graph's own by default.

        Returns:
            np.ndarray: int64 ``(2, E)``, row i over column j, sorted by i then j, without self-loops (layers add
            them).
        """
        tau = _checked_threshold(self.threshold if threshold is None else threshold)
        rows, cols = self.cooccurrence.nonzero()
        # Dividing (not multiplying the threshold) keeps "3 of 30 ≥ 0.1" true in floating point.
        keep = self.cooccurrence.data / self.counts[rows] >= tau
        return np.stack([rows[keep], cols[keep]]).astype(np.int64)

    @property
    def adjacency(self) -> np.ndarray:
        """Dense 0/1 matrix of :meth:`edges`, uint8 ``(C, C)``; C² bytes."""
        dense = np.zeros((len(self.classes),) * 2, dtype=np.uint8)
        dense[tuple(self.edges())] = 1
        return dense

    def reordered(self, classes: Sequence[str]) -> 'LabelGraphData':
        """The same graph with its labels in another order.

        Raises:
            ValueError: If ``classes`` are not the same names.
        """
        check_same_names(classes, self.classes, 'the order asked for', 'the label graph')
        index = {name: i for i, name in enumerate(self.classes)}
        order = np.array([index[name] for name in classes])
        return replace(
            self,
            classes=tuple(classes),
            counts=self.counts[order],
            cooccurrence=self.cooccurrence[order][:, order],
            embeddings=None if self.embeddings is None else self.embeddings[order],
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write ``path`` (``.npz``, or ``.json`` for people) in one step; see ``docs/label_graph.md`` for the format.

        Raises:
            ValueError: If the suffix is neither ``.npz`` nor ``.json``.
        """
        from .file_format import write_label_graph

        write_label_graph(self, Path(path))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> 'LabelGraphData':
        """Read a file written by :meth:`save`; nothing in the file is ever executed.

        Raises:
            FileNotFoundError: If there is no such file; says how to build it.
            ValueError: If the file is damaged, incomplete, inconsistent, or no label graph.
        """
        from .file_format import read_label_graph

        return read_label_graph(Path(path))


def _checked_threshold(threshold: float) -> float:
    if not 0 < threshold <= 1:
        raise ValueError(f'threshold must lie in (0, 1], got {threshold}')
    return float(threshold)


def _whole_numbers(values: np.ndarray, what: str) -> np.ndarray:
    """``values`` as int64; other codebases store counts as floats."""
    if values.dtype.kind not in 'biuf':
        raise ValueError(f'{what} must be numbers, got dtype {values.dtype}')
    with np.errstate(invalid='ignore'):  # NaN: found by the comparison
        whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise ValueError(f'{what} must be whole numbers, found {values[whole != values][0]}')
    return whole
