"""mmpretrain's data preprocessor, made sure of its label vectors."""

from collections.abc import Callable
from typing import Any

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from torch import Tensor

from mlic_mm.models.batch_augments import MixupOR
from mlic_mm.registry import MODELS


@MODELS.register_module()
class MultiLabelDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` whose batch augments never pass labels by, and leave ignored ones ignored.

    mmpretrain's skips batch augments without a word where samples have no label vector, and its ``Mixup`` and
    ``CutMix`` blend −1 like any number: half of −1 (ignored) and 1 would be 0, a label that is certainly absent.

    Args:
        **kwargs: As for ``ClsDataPreprocessor``: ``mean``, ``std``, ``to_rgb``, ``num_classes``, ``batch_augments`` …

    Raises:
        ValueError: ``batch_augments`` without ``num_classes``: when built. Samples without labels: in the first batch.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.batch_augments is None:
            return
        if self.num_classes is None:
            raise ValueError(
                'batch augments need label vectors, whose length is not set: give num_classes in data_preprocessor, '
                'or drop train_cfg.augments'
            )
        self.batch_augments.augments = [
            augment if augment is None or isinstance(augment, MixupOR) else _KeepIgnored(augment)
            for augment in self.batch_augments.augments
        ]

    def forward(self, data: dict, training: bool = False) -> dict:
        """See ``ClsDataPreprocessor.forward``."""
        if training and self.batch_augments is not None:
            sample = (data.get('data_samples') or [{}])[0]
            if 'gt_score' not in sample and not (self.to_onehot and 'gt_label' in sample):
                raise ValueError(
                    'the model asks for batch augments, but its samples have no label vectors: let the data set give '
                    'gt_score, or gt_label with to_onehot=True in data_preprocessor, and pack them with PackInputs'
                )
        return super().forward(data, training)


class _KeepIgnored:
    """Let the augment blend, beside the labels, which of them are ignored: a blend with an unknown is unknown."""

    def __init__(self, augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        self.augment = augment

    def __call__(self, inputs: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        ignored = (score < 0).to(score)
        inputs, both = self.augment(inputs, torch.cat([score.clamp(min=0), ignored], dim=1))  # (N, 2C)
        score, ignored = both.chunk(2, dim=1)
        return inputs, score.masked_fill(ignored > 0, -1)
