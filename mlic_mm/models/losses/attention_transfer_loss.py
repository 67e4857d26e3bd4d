"""Distillation of the places where a layer is active."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import MODELS

from .distill_loss import FeatureDistillLoss
from .distill_outputs import DistillOutputs


def activation_attention(maps: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Return where maps are active: the mean square over channels, divided by its norm.

    Args:
        maps: ``(N, D, h, w)``.
        size: Size ``(h', w')`` of the result, by averaging; by default the size of the maps.

    Returns:
        ``(N, h'w')``.
    """
    energy = maps.to(torch.promote_types(maps.dtype, torch.float32)).square().mean(1)  # (N, h, w)
    return F.normalize(F.adaptive_avg_pool2d(energy, size or (maps.size(2), maps.size(3))).flatten(1), dim=1)


@MODELS.register_module()
class AttentionTransferLoss(FeatureDistillLoss):
    r"""Activation-based attention transfer, averaged over images.

    :math:`\frac{1}{2} \|Q^S / \|Q^S\|_2 - Q^T / \|Q^T\|_2\|_2^2` with :math:`Q`, the squares of a map summed over
    channels (`Zagoruyko & Komodakis 2017 <https://arxiv.org/abs/1612.03928>`_, Eq. 2, p = 2). The maps may have
    different numbers of channels.

    Paper: the norm itself. Here: its square, as in the authors' code, because the square has a gradient even if both
    maps are equal. For several layers, use several such losses.

    Args:
        student_layer: See :class:`FeatureDistillLoss`.
        teacher_layer: See :class:`FeatureDistillLoss`.
        loss_weight: Factor of the loss.

    Examples:
        >>> from mlic_mm.models import DistillOutputs
        >>> loss = MODELS.build(dict(type='mlic_mm.AttentionTransferLoss'))
        >>> left, right = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 2.0]]]])
        >>> loss(DistillOutputs(maps={'': left}), DistillOutputs(maps={'': right}))
        tensor(1.)
        >>> loss(DistillOutputs(maps={'': left}), DistillOutputs(maps={'': 3 * left}))
        tensor(0.)
    """

    def __init__(self, student_layer: str = '', teacher_layer: str | None = None, loss_weight: float = 1.0) -> None:
        super().__init__(student_layer, teacher_layer, loss_weight=loss_weight)

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss. The teacher's map is averaged to the size of the student's."""
        own, other = self.maps(student, teacher)
        size = own.size(2), own.size(3)
        difference = activation_attention(own) - activation_attention(other, size)
        return self.loss_weight * difference.square().sum() / (2 * len(own))
