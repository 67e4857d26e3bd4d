"""Distillation of a hint, a map in the middle of the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import MODELS

from .distill_loss import FeatureDistillLoss
from .distill_outputs import DistillOutputs


@MODELS.register_module()
class FitNetsLoss(FeatureDistillLoss):
    r"""Hint loss :math:`\frac{1}{2} \|F^T - r(F^S)\|_2^2`, averaged over images.

    `FitNets <https://arxiv.org/abs/1412.6550>`_ (Romero et al. 2015), Eq. 3. The regressor r is a 1 × 1 convolution if
    the numbers of channels differ. If the teacher's map is larger or smaller, it is averaged or repeated to the size of
    the student's map.

    Args:
        student_layer: See :class:`FeatureDistillLoss`.
        teacher_layer: See :class:`FeatureDistillLoss`.
        student_channels: See :class:`FeatureDistillLoss`.
        teacher_channels: See :class:`FeatureDistillLoss`.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: See :class:`FeatureDistillLoss`.

    Examples:
        >>> from mlic_mm.models import DistillOutputs
        >>> loss = MODELS.build(dict(type='mlic_mm.FitNetsLoss', student_layer='backbone.layer3'))
        >>> student = DistillOutputs(maps={'backbone.layer3': torch.zeros(1, 8, 2, 2)})
        >>> teacher = DistillOutputs(maps={'backbone.layer3': torch.ones(1, 8, 2, 2)})
        >>> loss(student, teacher)  # 32 numbers that differ by 1
        tensor(16.)
    """

    channel_map = 'regressor'

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss."""
        own, hint = self.comparable_maps(student, teacher)
        own = own.to(torch.promote_types(own.dtype, torch.float32))  # squares of half-precision maps overflow
        hint = F.adaptive_avg_pool2d(hint.to(own.dtype), (own.size(2), own.size(3)))
        return self.loss_weight * (own - hint).square().sum() / (2 * len(own))
