"""Distillation of a hint, a map in the middle of the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import MODELS

from .distill_loss import FeatureDistillLoss, channel_map, check_channels
from .distill_outputs import DistillOutputs


@MODELS.register_module()
class FitNetsLoss(FeatureDistillLoss):
    r"""Hint loss (FitNets, Romero et al. 2015, Eq. 3): :math:`\frac{1}{2} \|F^T - r(F^S)\|_2^2`, averaged over images.

    The regressor r is a 1 × 1 convolution where channels differ. The teacher's map is averaged to the size of the
    student's where a teacher sees a larger image.

    Args:
        student_layer: See :class:`FeatureDistillLoss`.
        teacher_layer: See :class:`FeatureDistillLoss`.
        student_channels: Channels of the student's map; with ``teacher_channels`` where they differ.
        teacher_channels: Channels of the teacher's map.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        student_layer: str = '',
        teacher_layer: str | None = None,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(student_layer, teacher_layer, loss_weight)
        self.regressor = channel_map('FitNetsLoss', student_channels, teacher_channels)

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss."""
        own, hint = self.maps(student, teacher)
        own = self.regressor(own)
        check_channels('FitNetsLoss', own, hint)
        own = own.to(torch.promote_types(own.dtype, torch.float32))  # squares of half-precision maps overflow
        hint = F.adaptive_avg_pool2d(hint.to(own.dtype), own.shape[-2:])
        return self.loss_weight * (own - hint).square().sum() / (2 * len(own))
