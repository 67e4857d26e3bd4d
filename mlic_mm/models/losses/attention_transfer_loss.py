"""Distillation of where a layer is active."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import MODELS

from .distill_loss import FeatureDistillLoss
from .distill_outputs import DistillOutputs


def activation_attention(maps: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Return where maps are active: the mean square over channels, of norm 1.

    Args:
        maps: ``(N, D, h, w)``.
        size: ``(h', w')`` to average it to; that of the maps by default.

    Returns:
        ``(N, h'w')``.
    """
    energy = maps.to(torch.promote_types(maps.dtype, torch.float32)).square().mean(1)  # (N, h, w)
    return F.normalize(F.adaptive_avg_pool2d(energy, size or (maps.size(2), maps.size(3))).flatten(1), dim=1)


@MODELS.register_module()
class AttentionTransferLoss(FeatureDistillLoss):
    r"""Activation-based attention transfer (Zagoruyko & Komodakis 2017, Eq. 2, p = 2), averaged over images.

    :math:`\frac{1}{2} \|Q^S / \|Q^S\|_2 - Q^T / \|Q^T\|_2\|_2^2` with :math:`Q` the squares of a map summed over
    channels, so that channels may differ. Paper: the norm itself. Here: its square, whose gradient is defined where the
    two agree, as in the authors' code. Several layers are several such losses.

    Args:
        student_layer: See :class:`FeatureDistillLoss`.
        teacher_layer: See :class:`FeatureDistillLoss`.
        loss_weight: Factor of the loss.
    """

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss; the teacher's map is averaged to the size of the student's."""
        own, other = self.maps(student, teacher)
        size = own.size(2), own.size(3)
        difference = activation_attention(own) - activation_attention(other, size)
        return self.loss_weight * difference.square().sum() / (2 * len(own))
