"""Distillation of predictions with a temperature for each label and for each region."""

import math

import torch
from torch import Tensor, nn

from mlic_mm.models.layers import fuse_branches
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_range

from .distill_loss import DistillLoss, check_logits
from .distill_outputs import DistillOutputs

COLDEST = 0.01
"""No temperature falls below this, so that logits over it stay finite."""


def softened_teacher(teacher: DistillOutputs, cls_temperature: Tensor, det_temperature: Tensor | None) -> Tensor:
    r"""Return the softened predictions :math:`p'^T` of a teacher, ``(N, C)`` (KD from WSD, Eq. 6 and 7).

    For a teacher without branches, the result is :math:`\sigma(m / t^c)` of its image logits, as for students in Eq. 8.
    Gradients reach the temperatures, never the teacher.

    Args:
        teacher: Has ``cls_logits`` and ``det_logits``, or else ``logits``.
        cls_temperature: :math:`t^c`, ``(C,)`` or a scalar.
        det_temperature: :math:`t^d`, ``(R,)`` or a scalar.

    Raises:
        ValueError: The teacher has no logits, or its number of labels or regions differs from the number of
            temperatures.
    """
    dtype = cls_temperature.dtype
    if teacher.cls_logits is None or teacher.det_logits is None:
        if teacher.logits is None:
            raise ValueError('the teacher gives neither image logits nor logits of regions')
        _check('labels', 1, teacher.logits, cls_temperature)
        return (teacher.logits.detach().to(dtype) / cls_temperature).sigmoid()
    _check('labels', 2, teacher.cls_logits, cls_temperature)
    cls = teacher.cls_logits.detach().to(dtype) / cls_temperature  # (N, R, C)
    det = teacher.det_logits.detach().to(dtype)
    if det_temperature is not None:
        _check('regions', 1, det, det_temperature)
        # Missing regions have −inf, whose quotient would have no gradient.
        missing = det.isneginf()
        det = det.masked_fill(missing, 0) / det_temperature.view(-1, 1)
        det = det.masked_fill(missing, -torch.inf)
    return fuse_branches(cls, det).sum(1).clamp(0, 1)


def _check(what: str, dim: int, logits: Tensor, temperature: Tensor) -> None:
    if temperature.dim() and logits.size(dim) != len(temperature):
        cure = 'set num_classes' if what == 'labels' else "load as many: LoadProposals(num=…, fill='recycle')"
        raise ValueError(
            f'the teacher has {logits.size(dim)} {what}, the loss has temperatures of {len(temperature)}: {cure}'
        )


@MODELS.register_module()
class ClassAwareDistillLoss(DistillLoss):
    r"""Class-aware distillation, :math:`\lambda L_{p'}`.

    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), Eq. 5 to 8:
    :math:`\frac{1}{2N} \sum_n \| p'^T - \sigma(m / t) \|_2^2`. The temperatures are learnt and start at 1: :math:`t^c`
    ``(C,)`` and :math:`t^d` ``(R,)`` in the teacher's two softmaxes, :math:`t` ``(C,)`` in the student's sigmoid.

    Paper: the temperatures themselves are learnt (Eq. 9), so they can pass zero. Here: :math:`t = 0.01 + 0.99
    e^\theta`, so they stay above 0.01. Weight decay pulls :math:`\theta` to 0 and thus :math:`t` to 1. The loss is
    computed in float32 at least.

    Args:
        num_classes: C.
        num_proposals: R, the ``num`` of LoadProposals; None for a teacher without logits of regions.
        loss_weight: λ.

    Raises:
        ValueError: A size is below 1. When called: the teacher or the student has other numbers of labels or regions,
            or no logits.

    Examples:
        >>> from mlic_mm.models import DistillOutputs
        >>> loss = MODELS.build(dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=2))
        >>> teacher = DistillOutputs(logits=torch.tensor([[100.0, -100.0]]))  # sure of the first label
        >>> loss(DistillOutputs(logits=torch.zeros(1, 2)), teacher).item()  # (0.5² + 0.5²) / 2
        0.25
        >>> {name: tuple(t.shape) for name, t in loss.temperatures.items()}
        {'cls': (2,), 'student': (2,)}
    """

    level = 'prediction'

    def __init__(self, num_classes: int, num_proposals: int | None = None, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_range('num_classes', num_classes, at_least=1, whole=True)
        if num_proposals is not None:
            check_range('num_proposals', num_proposals, at_least=1, whole=True)
        self.cls_theta = nn.Parameter(torch.zeros(num_classes))
        self.det_theta = nn.Parameter(torch.zeros(num_proposals)) if num_proposals else None
        self.student_theta = nn.Parameter(torch.zeros(num_classes))

    @property
    def temperatures(self) -> dict[str, Tensor]:
        """``cls`` ``(C,)``, ``det`` ``(R,)`` if there are regions, ``student`` ``(C,)``."""
        thetas = dict(cls=self.cls_theta, det=self.det_theta, student=self.student_theta)
        return {name: _temperature(theta) for name, theta in thetas.items() if theta is not None}

    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss. Gradients reach the student's logits and all temperatures, not the teacher."""
        if self.det_theta is None and teacher.det_logits is not None:
            raise ValueError(
                f'ClassAwareDistillLoss: the teacher gives logits of {teacher.det_logits.size(1)} regions: set '
                f'num_proposals={teacher.det_logits.size(1)}'
            )
        if self.det_theta is not None and teacher.det_logits is None:
            raise ValueError(
                f'ClassAwareDistillLoss: num_proposals={len(self.det_theta)}, but the teacher gives no logits of '
                'regions: leave num_proposals out'
            )
        temperature = self.temperatures
        soft = softened_teacher(teacher, temperature['cls'], temperature.get('det'))
        logits = check_logits(student.logits, soft)
        own = (logits.to(soft.dtype) / temperature['student']).sigmoid()  # (N, C)
        return self.loss_weight * (soft - own).square().sum() / (2 * len(own))


def _temperature(theta: Tensor) -> Tensor:
    theta = theta.to(torch.promote_types(theta.dtype, torch.float32))
    # e^θ beyond this would be infinite, and 0 · ∞ in the gradient is not a number.
    return COLDEST + (1 - COLDEST) * theta.clamp(max=math.log(1e6)).exp()
