"""Fuse the scores of several models with one model in memory at a time: pure functions of arrays.

Every mode is a weighted mean: of the scores, of their ranks, or of their logarithms. A running sum is therefore all
that must be kept for any number of models.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Any, Literal

import numpy as np

from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.plain_text import plain_text

from ..functional.matrices import as_array
from .ranks import doubled_ranks

MODES = ('mean', 'rank', 'geometric')
"""See :func:`fuse_scores`."""

MIN_PROBABILITY = 1e-12
"""A geometric mean takes smaller probabilities for this one, so that one model's 0 does not silence all others."""

_BLOCK = 1024  # rows at a time: temporaries stay in cache


def fuse_scores(
    members: Iterable[np.ndarray],
    weights: Sequence[float] | None = None,
    mode: Literal['mean', 'rank', 'geometric'] = 'mean',
) -> np.ndarray:
    """Fuse score matrices of the same images and classes.

    * ``'mean'`` is the mean of the matrices, Eq. 3 of `A Baseline for Multi-Label Image Classification Using an
      Ensemble of Deep Convolutional Neural Networks <https://arxiv.org/abs/1811.08412>`_ (Wang et al. 2018).
    * ``'rank'`` is the mean of the ranks in each class, from 0 for the lowest score to 1 for the highest. Equal scores
      have the mean of their ranks. The result does not depend on the scales of the members, and is no probability.
      Images with the same mean rank get the same score to the last bit, because the sum has whole numbers only.
    * ``'geometric'`` is the geometric mean of probabilities. A probability below 1e-12 counts as 1e-12.

    Args:
        members: Scores ``(N, C)``, taken one after the other.
        weights: One for each member, not negative. Only their ratios count. They are equal by default.
        mode: How to fuse.

    Returns:
        float32 ``(N, C)``.

    Raises:
        ValueError: There are no members, members have different shapes, the number of weights differs from the number
            of members, or scores are not finite or, in a geometric mean, no probabilities.

    Example:
        >>> fuse_scores([np.array([[0.2, 0.9]]), np.array([[0.6, 0.1]])], weights=[3, 1])
        array([[0.3, 0.7]], dtype=float32)
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
        raise ValueError(f'weights[{index}]={values[index]:g} must be finite and at least 0')
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
        scores: ``(N, C)``.
        mode: See :func:`fuse_scores`.
        name: Whose scores they are, for messages.
        image_ids: N names of images, for messages.
        classes: C names of classes, for messages.

    Raises:
        ValueError: The scores are no matrix, or a score is not finite or, in a geometric mean, no probability.
    """
    check_choice('mode', mode, MODES)
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
    """Return what the mode takes the weighted mean of, ``(N, C)``: scores, doubled ranks, or logarithms."""
    if mode == 'rank':
        return doubled_ranks(scores)
    return np.log(np.maximum(scores, MIN_PROBABILITY)) if mode == 'geometric' else scores


def accumulate(parts: Iterable[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Return the weighted mean, float64 ``(N, C)``, of what :func:`additive` gives, with one part in memory at a time.

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
    """Return the fused scores, float32 ``(N, C)``, from the weighted mean of :func:`accumulate`."""
    if mode == 'rank':
        total = total / (2 * max(1, len(total) - 1))
    return (np.exp(total) if mode == 'geometric' else total).astype(np.float32)


def _ratios(weights: Sequence[float]) -> np.ndarray:
    """Return whole numbers in the ratio of the weights if that ratio is simple, so that sums are exact.

    Otherwise return the weights, scaled so that the largest is 1.
    """
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
