"""mmpretrain's data preprocessor, made sure of its label vectors."""

from typing import Any

from mmpretrain.models.utils import ClsDataPreprocessor

from mlic_mm.models.batch_augments import keep_ignored
from mlic_mm.registry import MODELS


@MODELS.register_module()
class MultiLabelDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` whose batch augments never pass labels by, and leave ignored ones ignored.

    mmpretrain's skips batch augments without a word where samples have no label vector. For ignored labels see
    :func:`keep_ignored`.

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
        keep_ignored(self.batch_augments)

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
