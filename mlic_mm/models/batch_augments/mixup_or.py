"""Mixup for label vectors: the mean of two images has the labels of both."""

import torch
from torch import Tensor

from mlic_mm.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class MixupOR:
    """Mix each image of a batch with a random partner of the same batch.

    ``x = (x_i + x_j) / 2``, ``y = y_i OR y_j`` (`mixup baseline <https://arxiv.org/abs/1811.08412>`_, Wang, Jia &
    Breckon 2018, Eq. 2). The partners are a permutation of the batch, so each image is used twice and may be its own
    partner. Unlike linear mixup, no ratio is drawn, and a label of one of the two images stays a full label.

    Configs name it as mmpretrain's ``Mixup`` and ``CutMix``: ``train_cfg=dict(augments=dict(type='mlic_mm.MixupOR'))``
    of ``ImageClassifier``. :class:`~mlic_mm.models.MultiLabelDataPreprocessor` guarantees the label vectors. The paper
    mixes in every other epoch: :class:`~mlic_mm.engine.hooks.AlternateBatchAugmentHook`.

    Examples:
        >>> mixup = BATCH_AUGMENTS.build(dict(type='mlic_mm.MixupOR'))
        >>> _ = torch.manual_seed(0)
        >>> images, labels = mixup(torch.tensor([[0.0], [1.0], [2.0]]), torch.eye(3))
        >>> images.flatten(), labels
        (tensor([1.0000, 0.5000, 1.5000]), tensor([[1., 0., 1.],
                [1., 1., 0.],
                [0., 1., 1.]]))
    """

    def __call__(self, batch_inputs: Tensor, batch_score: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed images and their labels. The arguments are not changed.

        Args:
            batch_inputs: Images ``(N, …)``, normalised or not, on any device.
            batch_score: Labels ``(N, C)`` in [0, 1], soft labels allowed. Negative ones are ignored.

        Returns:
            Images of the same shape and type, but float32 for integer images, because means need not be integers.
            Labels ``(N, C)``, floating: the larger of both, which is OR for 0 and 1. A label that one image ignores is
            −1, unless it is positive in the other image: then the mixed image has it in any case.

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
        # Drawn on the CPU, as in mmpretrain: the same partners on every device.
        partner = torch.randperm(len(batch_inputs)).to(batch_inputs.device, non_blocking=True)
        # Halving first is exact and cannot overflow in half precision; one temporary.
        mixed = batch_inputs[partner].mul_(0.5).add_(batch_inputs, alpha=0.5)
        other = batch_score[partner.to(batch_score.device)]
        score = torch.maximum(batch_score, other)
        unknown = (torch.minimum(batch_score, other) < 0) & (score <= 0)
        return mixed, score.masked_fill(unknown, -1)
