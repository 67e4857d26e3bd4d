"""Weights of an ensemble, found on held-out scores."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from .score_fusion import accumulate

__all__ = ['Selection', 'select_members']


class Selection(NamedTuple):
    """Weights found on held-out scores, and what they reach there.

    Attributes:
        weights: ``(M,)`` with sum 1.
        best_single: The figure of the best single member.
        equal: The figure of all members with equal weights.
        tuned: The figure of the members with these weights.
    """

    weights: np.ndarray
    best_single: float
    equal: float
    tuned: float


def select_members(
    parts: Callable[[], Iterable[np.ndarray]], figure: Callable[[np.ndarray], float], rounds: int = 20
) -> Selection:
    """Find weights by greedy ensemble selection with replacement.

    Paper: `Ensemble Selection from Libraries of Models <https://doi.org/10.1145/1015330.1015432>`_ (Caruana et al.
    2004). The ensemble starts empty. Each round adds the member that raises the figure of the mean most. A member may
    be added again. The function keeps the best ensemble, and the smallest of equal ones. The weight of a member is its
    share in that ensemble.

    Args:
        parts: Gives the members' parts (:func:`~mlic_mm.evaluation.scores.score_fusion.additive`) of held-out images.
            It is called once a round and more.
        figure: Takes the mean of parts ``(N, C)``, which
            :func:`~mlic_mm.evaluation.scores.score_fusion.finish` turns into scores. Higher is better.
        rounds: The largest number of additions.

    Raises:
        ValueError: There are no members, or the figure of every member is NaN.

    Example:
        >>> members = [np.array([[0.0]]), np.array([[1.0]])]
        >>> select_members(lambda: iter(members), lambda mean: -abs(mean.item() - 0.75), rounds=4).weights
        array([0.25, 0.75])
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
