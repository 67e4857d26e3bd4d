"""Bring the scores of one model into the order of images and classes of another model."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mlic_mm.utils.checks import check_same_names
from mlic_mm.utils.plain_text import plain_text

from .score_dump import ScoreDump


class ScoreAligner:
    """Brings score dumps into the order of a reference: images by their ids, classes by their names.

    If ids occur twice in the reference, paths replace them in all dumps (:meth:`ScoreDump.with_distinct_ids`).

    Args:
        reference: The dump whose order is used.
        name: Its file, for messages.

    Raises:
        ValueError: The reference has no image, or a class twice.

    Examples:
        >>> reference = ScoreDump([[0.9, 0.1]], [[1, 0]], ['a'], [''], ('cat', 'dog'))
        >>> other = ScoreDump([[0.3, 0.6]], [[0, 1]], ['a'], [''], ('dog', 'cat'))
        >>> ScoreAligner(reference, 'reference.npz').align(other, 'other.npz')
        array([[0.6, 0.3]], dtype=float32)
    """

    def __init__(self, reference: ScoreDump, name: str) -> None:
        if not reference.scores.size:
            raise ValueError(f'{name} holds no scores: its matrix is {reference.scores.shape}')
        _check_unique('class', reference.classes, name)
        self.reference, self.name = reference.with_distinct_ids(), name
        self.by_path = self.reference is not reference

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.reference.image_ids)

    def align(self, dump: ScoreDump, name: str) -> np.ndarray:
        """Return the scores ``(N, C)`` of a dump in the order of the reference. They are copied only if need be.

        Args:
            dump: Scores of the same images and classes, with paths if ``by_path`` is True.
            name: Its file, for messages.

        Raises:
            ValueError: Images, classes or targets differ from those of the reference, or one occurs twice. The message
                names the first.
        """
        if self.by_path:
            dump = dump.with_distinct_ids()
        scores, targets = dump.scores, dump.targets
        if dump.classes != self.reference.classes:
            _check_unique('class', dump.classes, name)
            check_same_names(self.reference.classes, dump.classes, self.name, name)
            position = {label: column for column, label in enumerate(dump.classes)}
            columns = [position[label] for label in self.reference.classes]
            scores, targets = scores[:, columns], targets[:, columns]
        if not np.array_equal(dump.image_ids, self.reference.image_ids):
            rows = self._rows(dump, name)
            scores, targets = scores[rows], targets[rows]
        if not np.array_equal(targets, self.reference.targets):
            row, column = np.argwhere(targets != self.reference.targets)[0]
            image, label = plain_text(self.reference.image_ids[row]), self.reference.classes[column]
            raise ValueError(
                f'{name} and {self.name} disagree about the labels of the same images: image {image} has {label!r} = '
                f'{targets[row, column]} in the former and {self.reference.targets[row, column]} in the latter; use '
                'dumps of one test set'
            )
        return scores

    def _rows(self, dump: ScoreDump, name: str) -> np.ndarray:
        _check_unique('image', dump.image_ids.tolist(), name, f', and {self.name} does not')
        order, wanted = np.argsort(dump.image_ids), self.reference.image_ids[self._order]
        if not np.array_equal(dump.image_ids[order], wanted):
            extra = np.setdiff1d(dump.image_ids, wanted, assume_unique=True)
            lacking = np.setdiff1d(wanted, dump.image_ids, assume_unique=True)
            found = [
                f'{what} {len(ids)} image{"s" * (len(ids) > 1)} ({plain_text(ids[0])}{", …" * (len(ids) > 1)})'
                for what, ids in (('lacks', lacking), ('has besides', extra))
                if len(ids)
            ]
            raise ValueError(
                f'{name} holds different images than {self.name}: it {" and ".join(found)}; test both models on the '
                'same images'
            )
        rows = np.empty(len(order), np.int64)
        rows[self._order] = order
        return rows


def _check_unique(what: str, names: Sequence[str], file: str, more: str = '') -> None:
    if len(set(names)) < len(names):
        twice = next(value for value, count in Counter(names).items() if count > 1)
        cure = 'give each class its own name' if what == 'class' else 'test both models on the same images'
        raise ValueError(f'{file} holds {what} {twice!r} twice{more}; {cure}')
