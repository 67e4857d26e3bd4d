"""Predictions of several branches as one."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ['FUSIONS', 'fuse_logits']

FUSIONS = ('mean', 'max', 'product')


def fuse_logits(logits: Tensor, how: str) -> Tensor:
    r"""Element-wise classifier fusion (spatial context, section 2.1): the logits of the fused probabilities.

    ``logits.sigmoid().mean(0).logit()``, or ``amax`` or ``prod`` in its place, but from sums of logarithms, so that
    the result is finite and keeps the order of patches where probabilities round to 0 or 1.

    Args:
        logits: ``(B, …)`` of B branches, float32 or more.
        how: ``'mean'``, ``'max'`` or ``'product'``.

    Returns:
        ``(…)``.

    Raises:
        ValueError: ``how`` is none of these.
    """
    if how not in FUSIONS:
        raise ValueError(f'fusion={how!r} must be one of {", ".join(FUSIONS)}')
    if how == 'max' or len(logits) == 1:
        return logits.amax(0)
    present = F.logsigmoid(logits)  # log p
    absent = F.logsigmoid(-logits)  # log(1 - p)
    if how == 'mean':  # the two times log B cancel
        return present.logsumexp(0) - absent.logsumexp(0)
    # 1 - p_1 p_2 … is the sum of (1 - p_i) times all p before.
    before = present.cumsum(0) - present
    return present.sum(0) - (absent + before).logsumexp(0)
