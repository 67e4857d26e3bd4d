"""Label statistics of a training set, the graph that they define, and the label names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from mlic_mm.utils.checks import check_same_names
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.plain_text import check_text

from .file_format import name_unusable, read_arrays, write_arrays


@dataclass(frozen=True, eq=False)
class LabelGraphData:
    r"""Co-occurrence of C labels in a training set. A threshold turns it into a directed graph.

    An edge leads from label i to label j if :math:`P(j \mid i) = M_{ij} / N_i \ge \tau` (Deep-LIFT, section III;
    ML-GCN uses the same statistics). :math:`M_{ij}` is the number of images with both labels, :math:`N_i` the number
    of images with label i. All matrices are sparse: cost and memory grow with the pairs that occur, not with C².

    Args:
        classes: Unique label names. All other fields follow their order.
        counts: Images per label, int64 ``(C,)``.
        cooccurrence: Images per pair of labels, int64 ``(C, C)``, symmetric, with a zero diagonal.
        num_images: Number of images; 0 if unknown, as in matrices of other codebases.
        threshold: Default :math:`\tau` in (0, 1].
        embeddings: One vector per label, float32 ``(C, d)``.

    Raises:
        ValueError: Sizes differ, names repeat, or the numbers cannot be counts of one data set.

    Examples:
        >>> import numpy as np
        >>> targets = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]])
        >>> graph = LabelGraphData.from_targets(targets, ('person', 'dog', 'ball'), threshold=0.6)
        >>> graph.counts
        array([2, 2, 1])
        >>> graph.edges()  # ball -> dog: every image with a ball shows a dog
        array([[2],
               [1]])
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
        # With one order and one dtype, equal graphs give equal files and sorted edges.
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
            targets: ``(N, C)``, dense or sparse: 1 present, 0 absent, −1 ignored. Ignored counts as absent.
            classes: C label names.
            threshold: Default threshold of the graph.

        Raises:
            ValueError: The shape is not ``(N, C)`` with N ≥ 1, or a value is none of 1, 0, −1.
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
        """Return the edges i → j with P(j given i) ≥ τ, int64 ``(2, E)``: row i over column j, sorted by i, then j.

        The diagonal is left out. Layers add self-loops.

        Args:
            threshold: τ in (0, 1]; the graph's own by default.
        """
        tau = _checked_threshold(self.threshold if threshold is None else threshold)
        rows, cols = self.cooccurrence.nonzero()
        # The quotient is compared, not a product with τ: only so is "3 of 30 ≥ 0.1" true in floating point.
        keep = self.cooccurrence.data / self.counts[rows] >= tau
        return np.stack([rows[keep], cols[keep]]).astype(np.int64)

    @property
    def adjacency(self) -> np.ndarray:
        """The edges as a dense matrix of 0 and 1, uint8 ``(C, C)``. It takes C² bytes."""
        dense = np.zeros((len(self.classes),) * 2, dtype=np.uint8)
        dense[tuple(self.edges())] = 1
        return dense

    def reordered(self, classes: Sequence[str]) -> 'LabelGraphData':
        """Return the same graph with its labels in another order.

        Raises:
            ValueError: ``classes`` are not the same names.
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
        """Write the graph with an atomic write; ``docs/label_graph.md`` describes the format.

        Args:
            path: File that ends in ``.npz``, or in ``.json`` for people.

        Raises:
            ValueError: The suffix is neither ``.npz`` nor ``.json``.
        """
        upper = sp.coo_array(sp.triu(self.cooccurrence, k=1, format='csr'))  # each pair once, i < j
        arrays = {
            'classes': np.array(self.classes, dtype=np.str_),
            'counts': self.counts,
            'pairs': np.stack([upper.row, upper.col]).astype(np.int64),  # (2, P)
            'pair_counts': upper.data.astype(np.int64),  # (P,)
            'num_images': np.array(self.num_images),
            'threshold': np.array(self.threshold),
            'edges': self.edges(),  # (2, E), for other programs
        }
        if self.embeddings is not None:
            arrays['embeddings'] = self.embeddings
        write_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> 'LabelGraphData':
        """Read a file that :meth:`save` wrote. Nothing in the file is executed.

        Raises:
            FileNotFoundError: There is no such file; the message says how to build it.
            ValueError: The file is damaged, incomplete or inconsistent, or holds no label graph.
        """
        arrays = read_arrays(Path(path))
        with name_unusable(Path(path)):
            return cls._from_arrays(arrays)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, np.ndarray]) -> 'LabelGraphData':
        classes, pairs, pair_counts = arrays['classes'], arrays['pairs'], arrays['pair_counts']
        if classes.dtype.kind != 'U' or classes.ndim != 1:
            raise ValueError(f'classes must be a list of names, got {classes.dtype} of shape {classes.shape}')
        check_text(classes, 'classes')
        if pairs.dtype.kind != 'i' or pairs.ndim != 2 or len(pairs) != 2 or pair_counts.shape != pairs.shape[1:]:
            raise ValueError(
                f'pairs {pairs.dtype} {pairs.shape} and pair_counts {pair_counts.shape} must be integers of shape '
                '(2, P) and (P,)'
            )
        outside = pairs[(pairs < 0) | (pairs >= len(classes))]
        if outside.size:
            raise ValueError(f'pairs name label {outside[0]}, but there are {len(classes)} classes')
        if (pairs[0] >= pairs[1]).any() or len(np.unique(pairs[0] * len(classes) + pairs[1])) != pairs.shape[1]:
            raise ValueError('pairs must be distinct and have the smaller label first')
        both = np.concatenate([pairs, pairs[::-1]], axis=1)
        graph = cls(
            classes=tuple(classes.tolist()),
            counts=arrays['counts'],
            cooccurrence=sp.csr_array((np.tile(pair_counts, 2), tuple(both)), shape=(len(classes),) * 2),
            num_images=int(arrays['num_images'].item()),
            threshold=float(arrays['threshold'].item()),
            embeddings=arrays.get('embeddings'),
        )
        # Other programs read the edges. After an edit by hand they may differ from the counts and the threshold.
        if not np.array_equal(graph.edges(), arrays['edges']):
            raise ValueError('the stored edges are not those of its counts and threshold')
        return graph


def _checked_threshold(threshold: float) -> float:
    check_range('threshold', threshold, above=0, at_most=1)
    return float(threshold)


def _whole_numbers(values: np.ndarray, what: str) -> np.ndarray:
    """Return the values as int64. Other codebases store counts as floats."""
    if values.dtype.kind not in 'biuf':
        raise ValueError(f'{what} must be numbers, got dtype {values.dtype}')
    with np.errstate(invalid='ignore'):  # NaN: found by the comparison
        whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise ValueError(f'{what} must be whole numbers, found {values[whole != values][0]}')
    return whole
