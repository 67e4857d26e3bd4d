"""mmpretrain's data preprocessor, which insists on label vectors for batch augments."""

from typing import Any

from mmpretrain.models.utils import ClsDataPreprocessor

from mlic_mm.models.batch_augments import keep_ignored
from mlic_mm.registry import MODELS


@MODELS.register_module()
class MultiLabelDataPreprocessor(ClsDataPreprocessor):
    """``ClsDataPreprocessor`` that never skips batch augments, and keeps ignored labels ignored.

    mmpretrain's data preprocessor silently skips batch augments if samples have no label vector. For ignored labels see
    :func:`keep_ignored`.

    Args:
        **kwargs: As for ``ClsDataPreprocessor``: ``mean``, ``std``, ``to_rgb``, ``num_classes``, ``batch_augments`` …

    Raises:
        ValueError: ``batch_augments`` is set without ``num_classes``. In the first batch: samples have no labels.

    Examples:
        >>> import torch
        >>> from mmpretrain.structures import DataSample
        >>> preprocessor = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelDataPreprocessor',
        ...         mean=[120.0] * 3,
        ...         std=[60.0] * 3,
        ...         num_classes=3,
        ...         batch_augments=dict(augments=dict(type='mlic_mm.MixupOR')),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, -1.0]))
        >>> batch = preprocessor(dict(inputs=[torch.zeros(3, 8, 8)], data_samples=[sample]), training=True)
        >>> batch['inputs'].shape, batch['data_samples'][0].gt_score
        (torch.Size([1, 3, 8, 8]), tensor([ 1.,  0., -1.]))
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.batch_augments is None:
            return
        if self.num_classes is None:
            raise ValueError(
                'batch augments need label vectors of a known length: set num_classes of data_preprocessor, or remove '
                'train_cfg.augments'
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
