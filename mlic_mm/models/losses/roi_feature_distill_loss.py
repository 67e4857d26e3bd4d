"""Distillation of features in the regions where a detector finds objects."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlic_mm.models.layers import roi_pool
from mlic_mm.registry import MODELS
from mlic_mm.utils.boxes import image_frame
from mlic_mm.utils.choices import check_range

from .distill_loss import FeatureDistillLoss, check_channels
from .distill_outputs import DistillOutputs


def roi_feature_distance(
    student: Tensor, teacher: Tensor, boxes: Sequence[Tensor], weights: Sequence[Tensor] | None = None, size: int = 7
) -> Tensor:
    r"""Return the squared distance of the pooled features of regions (KD from WSD, Eq. 3 and 4).

    :math:`\frac{1}{2N} \sum_n \frac{1}{|R'_n|} \sum_R \| s'_R \phi(F^T; R) - s'_R \phi(F^S; R) \|_2^2`

    Args:
        student: ``(N, D, h, w)``.
        teacher: ``(N, D, h', w')``.
        boxes: N tensors ``(R'_n, 4)``, [x1, y1, x2, y2] as fractions of width and height.
        weights: :math:`s'`, N tensors ``(R'_n,)``; 1 by default.
        size: Number of parts along each side of a region.

    Returns:
        Scalar. An image without regions adds nothing.

    Raises:
        ValueError: The maps have different numbers of channels.
    """
    check_channels(student, teacher)
    pooled = [
        roi_pool(maps, [box * box.new_tensor(image_frame(maps.size(3), maps.size(2))) for box in boxes], size)
        for maps in (student, teacher)
    ]
    distance = (pooled[0] - pooled[1]).square().flatten(1).sum(1)  # (ΣR',)
    factors = [box.new_full((len(box),), 1 / max(len(box), 1)) for box in boxes]
    if weights is not None:
        factors = [factor * weight.detach().square() for factor, weight in zip(factors, weights, strict=True)]
    return (distance * torch.cat(factors).to(distance)).sum() / (2 * len(boxes))


@MODELS.register_module()
class RoIFeatureDistillLoss(FeatureDistillLoss):
    r"""RoI-aware distillation, :math:`L_f`.

    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), Eq. 3 and 4. For several layers, use
    several such losses.

    The paper's :math:`s'` sums to about the number of labels over hundreds of regions, so the loss is small (1e-3 and
    less). ``loss_weight`` weighs it against other losses. If it is the only loss, as in stage 1, it needs a suitable
    learning rate, or an optimiser such as Adam.

    Args:
        student_layer: See :class:`FeatureDistillLoss`.
        teacher_layer: See :class:`FeatureDistillLoss`.
        student_channels: See :class:`FeatureDistillLoss`.
        teacher_channels: See :class:`FeatureDistillLoss`.
        roi_size: Number of parts along each side of a region.
        weighted: Weight the regions by :math:`s'`; False is the paper's variant "NMS proposals" (Table 4).
        loss_weight: Factor of the loss.

    Raises:
        ValueError: ``roi_size`` is below 1. When called: the teacher gives no regions or no such map, or the channels
            differ without :math:`\Psi`.

    Examples:
        >>> from mlic_mm.models import DistillOutputs
        >>> loss = MODELS.build(dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=1))
        >>> student = DistillOutputs(maps={'': torch.zeros(1, 8, 4, 4)})
        >>> region, score = torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([0.5])
        >>> teacher = DistillOutputs(maps={'': torch.ones(1, 8, 4, 4)}, boxes=[region], box_scores=[score])
        >>> loss(student, teacher)  # 8 channels that differ by 1, times s'² / 2
        tensor(1.)
    """

    def __init__(
        self,
        student_layer: str = '',
        teacher_layer: str | None = None,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
        roi_size: int = 7,
        weighted: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(
            student_layer,
            teacher_layer,
            loss_weight,
            student_channels=student_channels,
            teacher_channels=teacher_channels,
        )
        check_range('roi_size', roi_size, at_least=1, whole=True)
        self.roi_size = roi_size
        self.weighted = weighted

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss, see :func:`roi_feature_distance`."""
        own, others = self.comparable_maps(student, teacher)
        if not teacher.boxes:
            raise ValueError(
                'RoIFeatureDistillLoss: the teacher gives no regions; it must be a detector (mlic_mm.WSDDNHead, '
                'mlic_mm.DetectorTeacher), or the samples must have proposals'
            )
        weights = teacher.box_scores if self.weighted else None
        return self.loss_weight * roi_feature_distance(own, others, teacher.boxes, weights, self.roi_size)
