"""Mixup for label vectors: the mean of two images shows what either of them shows."""

import torch
from torch import Tensor

from mlic_mm.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class MixupOR:
    """Mix each image of a batch with a random partner of the same batch.

    ``x = (x_i + x_j) / 2``, ``y = y_i OR y_j`` (Wang, Jia & Breckon 2018, Eq. 2). The partners are a permutation of the
    batch, so that each image is used twice and may meet itself. Unlike linear mixup it has no ratio to draw, and a
    label that one of the two images has stays a full label.

    Selected where mmpretrain's ``Mixup`` and ``CutMix`` are: ``train_cfg=dict(augments=dict(type='mlic_mm.MixupOR'))``
    of ``ImageClassifier``, with :class:`~mlic_mm.models.MultiLabelDataPreprocessor` to be sure of the label vectors.
    The paper uses it in every other epoch: :class:`~mlic_mm.engine.hooks.AlternateBatchAugmentHook`.
    """

    def __call__(self, batch_inputs: Tensor, batch_score: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed images and their labels; the arguments stay as they are.

        Args:
            batch_inputs: ``(N, …)`` images, normalised or not, on any device.
            batch_score: ``(N, C)`` in [0, 1], soft labels allowed; negative = ignored.

        Returns:
            Images of the same shape and type, float32 for integer images, whose half-sums need not be integers.
            Labels ``(N, C)``, floating: the larger of both, which is OR for 0 and 1. A label that one image
            ignores is −1 unless it is positive in the other: there it is present, whatever the first one shows.

        Raises:
            ValueError: ``batch_score`` is not ``(N, C)``.
        """
        if batch_score.ndim != 2 or len(batch_score) != len(batch_inputs):
            raise ValueError(
                f'MixupOR needs a label vector for each image, (N, C); got labels {tuple(batch_score.shape)} for '
                f'images {tuple(batch_inputs.shape)}: let the data set give gt_score, or set num_classes and '
                'to_onehot=True in the data preprocessor'
            )
        if not batch_inputs.is_floating_point():
            batch_inputs = batch_inputs.float()
        if not batch_score.is_floating_point():
            batch_score = batch_score.float()
        # Drawn on the CPU, as mmpretrain does: the same partners on every device.
        partner = torch.randperm(len(batch_inputs)).to(batch_inputs.device, non_blocking=True)
        # Halving first is exact and cannot overflow in half precision; one temporary.
        mixed = batch_inputs[partner].mul_(0.5).add_(batch_inputs, alpha=0.5)
        other = batch_score[partner.to(batch_score.device)]
        score = torch.maximum(batch_score, other)
        unknown = (torch.minimum(batch_score, other) < 0) & (score <= 0)
        return mixed, score.masked_fill(unknown, -1)
