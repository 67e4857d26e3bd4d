"""Distillation of predictions with one fixed temperature."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_range

from .class_aware_distill_loss import softened_teacher
from .distill_loss import DistillLoss, check_logits
from .distill_outputs import DistillOutputs


@MODELS.register_module()
class HintonDistillLoss(DistillLoss):
    r"""Knowledge distillation for several labels.

    Binary cross-entropy of :math:`\sigma(m^S / t_S)` and the teacher's predictions softened by :math:`t_T`. The sum
    over labels is averaged over images and multiplied by :math:`t_S^2`, so that the size of its gradients hardly
    depends on :math:`t_S` (`Hinton, Vinyals & Dean 2015 <https://arxiv.org/abs/1503.02531>`_, section 2). KD from WSD,
    section 4.2, chooses :math:`t_T = 1` or 2 and :math:`t_S = 5`.

    Args:
        teacher_temperature: :math:`t_T`, for both branches of a teacher of regions.
        student_temperature: :math:`t_S`.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: A temperature is not positive. When called: the teacher has other labels, or no logits.

    Examples:
        >>> from mlic_mm.models import DistillOutputs
        >>> loss = MODELS.build(dict(type='mlic_mm.HintonDistillLoss', student_temperature=2.0))
        >>> logits = torch.zeros(1, 3)
        >>> loss(DistillOutputs(logits=logits), DistillOutputs(logits=logits)) / 2**2  # 3 · log 2
        tensor(2.0794)
    """

    level = 'prediction'

    def __init__(
        self, teacher_temperature: float = 1.0, student_temperature: float = 1.0, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        check_range('teacher_temperature', teacher_temperature, above=0)
        check_range('student_temperature', student_temperature, above=0)
        self.teacher_temperature = teacher_temperature
        self.student_temperature = student_temperature

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss."""
        assert student.logits is not None
        logits = student.logits.to(torch.promote_types(student.logits.dtype, torch.float32))
        temperature = logits.new_tensor(self.teacher_temperature)
        soft = softened_teacher(teacher, temperature, temperature)
        check_logits(logits, soft)
        loss = F.binary_cross_entropy_with_logits(logits / self.student_temperature, soft, reduction='sum')
        return self.loss_weight * self.student_temperature**2 * loss / len(logits)
