"""Fusing the scores of several models, one model in memory at a time: pure functions of arrays.

Every mode is a weighted mean: of the scores, of their ranks, or of their logarithms. So a running sum is all that has
to be kept, however many models there are.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import islice
from math import gcd, lcm
from typing import Any, NamedTuple

import numpy as np

from mlic_mm.utils.plain_text import plain_text

from ..functional.matrices import as_array

MODES = ('mean', 'rank', 'geometric')
"""See :func:`fuse_scores`."""

MIN_PROBABILITY = 1e-12
"""What a smaller probability counts as in a geometric mean, so that one model's 0 does not silence all others."""

_BLOCK = 1024  # rows at a time: temporaries stay in cache


def fuse_scores(
    members: Iterable[np.ndarray], weights: Sequence[float] | None = None, mode: str = 'mean'
) -> np.ndarray:
    """Fuse score matrices of the same images and classes.

    ``'mean'`` is Eq. 3 of "A Baseline for Multi-Label Image Classification Using an Ensemble of Deep Convolutional
    Neural Networks" (Wang et al., 2018), the mean of the matrices. ``'rank'`` is the mean of every class's ranks, from
    0 for the lowest score to 1 for the highest, ties at their average: free of the members' scales, but no probability.
    Images with the same mean rank get the same score to the last bit, since the sum is one of whole numbers.
    ``'geometric'`` is the geometric mean of probabilities, those below 1e-12 counting as 1e-12.

    Args:
        members (Iterable[ndarray]): Scores ``(N, C)``, taken one after the other.
        weights (Sequence[float] | None): One per member, not negative; only their ratios count. Equal by default.
        mode (str): ``'mean'``, ``'rank'`` or ``'geometric'``.

    Returns:
        ndarray: ``(N, C)`` float32.

    Raises:
        ValueError: No members, members of different shapes, other weights than one per member, scores that are not
            finite or, in a geometric mean, no probabilities, an unknown mode.
    """
    parts = (additive(check_scores(scores, mode, f'member {i}'), mode) for i, scores in enumerate(members))
    return finish(accumulate(parts, weights), mode)


def check_weights(weights: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    """Return weights ``(count,)`` with sum 1.

    Raises:
        ValueError: Another number of weights, one that is negative or not finite, or nothing but zeros.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (count,):
        raise ValueError(f'{values.size} weights for {count} members: give one per member, in their order')
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        index = int(wrong.argmax())
        raise ValueError(f'weight {index} is {values[index]:g}: weights must be finite and not negative')
    if not values.any():
        raise ValueError('all weights are 0: at least one must be positive')
    values = values / values.max()  # else the sum may overflow
    return values / values.sum()


def check_scores(
    scores: np.ndarray,
    mode: str,
    name: str,
    image_ids: Sequence[Any] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> np.ndarray:
    """Return ``scores``, a matrix ``(N, C)`` that can be fused.

    Args:
        scores (ndarray): ``(N, C)``.
        mode (str): Of :func:`fuse_scores`.
        name (str): Whose scores they are, for messages; so are the next two.
        image_ids (Sequence | None): N names of images.
        classes (Sequence[str] | None): C names of classes.

    Raises:
        ValueError: No matrix; a score that is not finite, or, in a geometric mean, no probability: names it.
    """
    if mode not in MODES:
        raise ValueError(f'unknown mode {mode!r}: choose from {", ".join(MODES)}')
    scores = as_array(scores, f'scores of {name}')
    if scores.ndim != 2:
        raise ValueError(f'scores of {name} must have shape (N, C), got {scores.shape}')
    wrong, why = None, ''
    if not np.isfinite(scores).all():
        wrong, why = ~np.isfinite(scores), 'scores must be finite; did its training diverge?'
    elif mode == 'geometric' and scores.size and (scores.min() < 0 or scores.max() > 1):
        wrong = (scores < 0) | (scores > 1)
        why = 'a geometric mean needs probabilities from 0 to 1, not logits; dump probabilities or take mode rank'
    if wrong is not None:
        row, column = np.argwhere(wrong)[0]
        image = row if image_ids is None else plain_text(image_ids[row])
        label = column if classes is None else repr(classes[column])
        raise ValueError(
            f'{name}: the score of image {image}, class {label} is {scores[row, column]} '
            f'({np.count_nonzero(wrong)} such scores): {why}'
        )
    return scores


def additive(scores: np.ndarray, mode: str) -> np.ndarray:
    """What the mode takes the weighted mean of: scores, twice the ranks from 0, or logarithms, ``(N, C)``."""
    if mode == 'rank':
        return doubled_ranks(scores)
    return np.log(np.maximum(scores, MIN_PROBABILITY)) if mode == 'geometric' else scores


def accumulate(parts: Iterable[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Weighted mean ``(N, C)`` float64 of what :func:`additive` gives, one part in memory at a time.

    Raises:
        ValueError: See :func:`fuse_scores`.
    """
    total, count, given = None, 0, None if weights is None else _ratios(weights)
    for part in parts:
        if total is None:
            total = np.zeros(part.shape)
        if part.shape != total.shape:
            raise ValueError(f'member {count} has scores {part.shape}, those before it {total.shape}')
        if given is not None and count >= len(given):
            raise ValueError(f'{len(given)} weights for more members: give one per member, in their order')
        _add(total, part, 1.0 if given is None else given[count])
        count += 1
    if total is None:
        raise ValueError('nothing to fuse: there are no members')
    if given is not None:
        check_weights(given, count)
    total /= count if given is None else given.sum()
    return total


def finish(total: np.ndarray, mode: str) -> np.ndarray:
    """Fused scores ``(N, C)`` float32 from the weighted mean of :func:`accumulate`."""
    if mode == 'rank':
        total = total / (2 * max(1, len(total) - 1))
    return (np.exp(total) if mode == 'geometric' else total).astype(np.float32)


def class_ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks ``(N, C)`` float32 of every class's scores: 0 for the lowest, 1 for the highest, ties at their average."""
    return finish(doubled_ranks(scores), 'rank')


def doubled_ranks(scores: np.ndarray) -> np.ndarray:
    """Twice the ranks ``(N, C)`` int32 of every class's scores, from 0, ties at their average: whole numbers."""
    columns = np.ascontiguousarray(scores.T, dtype=np.float32)
    num_images = len(scores)
    rows, order = np.arange(num_images), 2 * np.arange(num_images, dtype=np.int32)
    ranks = np.empty(columns.shape, np.int32)
    for column, rank in zip(columns, ranks, strict=True):
        # The bits of floats, the negatives' flipped, are in order as integers; with the row below them, sorting is
        # several times faster than an argsort. Adding 0 turns −0 into 0.
        bits = (column + np.float32(0)).view(np.int32)
        bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
        keys = bits.astype(np.int64) << 32
        keys |= rows
        keys.sort()
        places = keys & 0xFFFFFFFF
        rank[places] = order
        keys >>= 32
        first, last = _runs(keys[1:] == keys[:-1])
        rank[places[_ranges(first, last)]] = np.repeat(first + last, last - first + 1)
    return np.ascontiguousarray(ranks.T)


class Selection(NamedTuple):
    """Weights found on held-out scores, and the figure there of the best single member, of all alike and of these."""

    weights: np.ndarray
    best_single: float
    equal: float
    tuned: float


def select_members(
    parts: Callable[[], Iterable[np.ndarray]], figure: Callable[[np.ndarray], float], rounds: int = 20
) -> Selection:
    """Weights by greedy ensemble selection with replacement (Caruana et al., 2004).

    Starting with nothing, each round adds the member that makes the figure of the mean highest; members may be added
    again. The shortest of the best ensembles on the way is kept; a member's weight is its share in it.

    Args:
        parts (Callable): Gives the members' parts (:func:`additive`) of held-out images, anew for every round.
        figure (Callable): Of the mean of parts ``(N, C)``, which :func:`finish` turns into scores; higher is better.
        rounds (int): Most additions.

    Returns:
        Selection: The weights ``(M,)`` have sum 1.

    Raises:
        ValueError: There are no members, or the figure of every one is NaN.
    """
    total: Any = 0.0
    counts: list[int] = []
    best = Selection(np.zeros(0), -np.inf, -np.inf, -np.inf)
    for size in range(1, rounds + 1):
        values = [figure((total + part) / size) for part in parts()]
        if np.isnan(values).all():  # true of none as well
            raise ValueError('weights cannot be tuned: there are no members, or no class has a positive image')
        chosen = int(np.nanargmax(values))
        if size == 1:
            counts = [0] * len(values)
            best = best._replace(best_single=values[chosen], equal=figure(accumulate(parts())))
        total = total + next(islice(parts(), chosen, None))
        counts[chosen] += 1
        if values[chosen] > best.tuned:
            best = best._replace(tuned=values[chosen], weights=np.array(counts) / size)
    return best


def _ratios(weights: Sequence[float]) -> np.ndarray:
    """Whole numbers in the ratio of the weights where they are simple, so that sums stay exact; else up to 1."""
    check_weights(weights, len(weights))
    scaled = np.asarray(weights, np.float64) / max(weights)
    parts = [Fraction(float(weight)).limit_denominator(10**6) for weight in weights]
    if any(float(part) != weight for part, weight in zip(parts, weights, strict=True)):
        return scaled
    common = lcm(*(part.denominator for part in parts))
    whole = [int(part * common) for part in parts]
    divisor = gcd(*whole)
    return np.array([number // divisor for number in whole], float) if max(whole) // divisor <= 2**20 else scaled


def _add(total: np.ndarray, part: np.ndarray, weight: float) -> None:
    for start in range(0, len(total), _BLOCK):
        rows = slice(start, start + _BLOCK)
        total[rows] += np.multiply(part[rows], weight, dtype=np.float64)


def _runs(tied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last place of each group of equal neighbours, from which are equal to the next ``(n - 1,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], tied, [False]])))
    return edges[::2], edges[1::2]


def _ranges(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """All places from each ``first`` to its ``last``, one group after the other."""
    sizes = last - first + 1
    return np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
