"""Batch augments of other packages that keep ignored labels ignored."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .mixup_or import MixupOR

__all__ = ['keep_ignored']


def keep_ignored(batch_augments: Any) -> None:
    """Make the augments of mmpretrain's ``RandomBatchAugment`` keep −1 (ignored): a blend with an unknown is unknown.

    mmpretrain's ``Mixup``, ``CutMix`` and ``ResizeMix`` blend −1 like any number: the mean of −1 and 1 would be 0, a
    label that is certainly absent.

    Args:
        batch_augments: Its ``augments`` are replaced. A second call changes nothing.
    """
    batch_augments.augments = [
        augment if augment is None or isinstance(augment, MixupOR | _KeepIgnored) else _KeepIgnored(augment)
        for augment in batch_augments.augments
    ]


class _KeepIgnored:
    """Lets the augment also blend which labels are ignored."""

    def __init__(self, augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self.augment = augment

    def __call__(self, inputs: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        ignored = (score < 0).to(score)
        inputs, both = self.augment(inputs, torch.cat([score.clamp(min=0), ignored], dim=1))  # (N, 2C)
        score, ignored = both.chunk(2, dim=1)
        return inputs, score.masked_fill(ignored > 0, -1)
