"""Predictions of several branches as one."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from mlic_mm.utils.choices import check_choice

__all__ = ['Fusion', 'fuse_logits']

Fusion = Literal['mean', 'max', 'product']


def fuse_logits(logits: Tensor, fusion: Fusion) -> Tensor:
    r"""Return the logits of fused probabilities: element-wise classifier fusion (spatial context, section 2.1).

    The result is ``logits.sigmoid().mean(0).logit()``, or ``amax`` or ``prod`` instead of ``mean``. It is computed from
    sums of logarithms, so it is finite and keeps the order of patches if probabilities round to 0 or 1.

    Args:
        logits: Logits of B branches, ``(B, …)``, float32 or more.
        fusion: ``'mean'``, ``'max'`` or ``'product'`` of the probabilities.

    Returns:
        ``(…)``.

    Raises:
        ValueError: ``fusion`` is unknown.

    Example:
        >>> import torch
        >>> fuse_logits(torch.tensor([0.9, 0.5]).logit(), 'product').sigmoid()
        tensor(0.4500)
    """
    check_choice('fusion', fusion, get_args(Fusion))
    if fusion == 'max' or len(logits) == 1:
        return logits.amax(0)
    present = F.logsigmoid(logits)  # log p
    absent = F.logsigmoid(-logits)  # log(1 - p)
    if fusion == 'mean':  # the two terms log B cancel
        return present.logsumexp(0) - absent.logsumexp(0)
    # 1 - p_1 p_2 … is the sum of (1 - p_i) times all earlier p.
    before = present.cumsum(0) - present
    return present.sum(0) - (absent + before).logsumexp(0)
