"""What all losses of distillation have in common."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from mlic_mm.utils.choices import check_range

from .distill_outputs import DistillOutputs


class DistillLoss(nn.Module, ABC):
    """A loss between a teacher's outputs and a student's; parameters of its own are learnt with the student.

    Subclasses register themselves in :data:`mlic_mm.registry.MODELS`, for ``losses`` of
    :class:`~mlic_mm.models.Distillation`.

    Args:
        loss_weight: Factor of the loss, at least 0.

    Attributes:
        level: ``'feature'`` for losses of stage 1, ``'prediction'`` for those of stage 2.

    Raises:
        ValueError: ``loss_weight`` is negative.
    """

    level: ClassVar[Literal['feature', 'prediction']]

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_range('loss_weight', loss_weight, at_least=0)
        self.loss_weight = loss_weight

    @abstractmethod
    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss, a scalar."""


class FeatureDistillLoss(DistillLoss):
    r"""A loss between a map of the teacher and a map of the student.

    Maps with different numbers of channels are made comparable by :math:`\Psi` (KD from WSD, Eq. 4), a 1 × 1
    convolution of the student's map that is learnt with the student.

    Args:
        student_layer: Dotted name of the student's module that gives the map, such as ``'backbone.layer3'``; by default
            the last map of the backbone, whose names are ``''`` and ``'backbone'``.
        teacher_layer: Name of the teacher's module; by default ``student_layer``.
        student_channels: Channels of the student's map, needed only if they differ from the teacher's.
        teacher_channels: Channels of the teacher's map, likewise.
        loss_weight: Factor of the loss.

    Attributes:
        channel_map: Name of :math:`\Psi` in the module and in checkpoints. The module is the identity if the channels
            are equal.

    Raises:
        ValueError: Only one of ``student_channels`` and ``teacher_channels`` is given.
    """

    level = 'feature'
    channel_map: ClassVar[str] = 'transform'

    def __init__(
        self,
        student_layer: str = '',
        teacher_layer: str | None = None,
        loss_weight: float = 1.0,
        *,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
    ) -> None:
        super().__init__(loss_weight)
        if (student_channels is None) != (teacher_channels is None):
            raise ValueError(
                f'student_channels={student_channels} and teacher_channels={teacher_channels} must both be given, or '
                'neither if they are equal'
            )
        layers = student_layer, student_layer if teacher_layer is None else teacher_layer
        # A cache has the map of the backbone under the name ''.
        self.student_layer, self.teacher_layer = ('' if layer == 'backbone' else layer for layer in layers)
        psi: nn.Module = nn.Identity()
        if student_channels is not None and teacher_channels is not None and student_channels != teacher_channels:
            psi = nn.Conv2d(student_channels, teacher_channels, 1)
        self.add_module(self.channel_map, psi)

    def maps(self, student: DistillOutputs, teacher: DistillOutputs) -> tuple[Tensor, Tensor]:
        """Return the student's map and the teacher's, ``(N, D, h, w)``, the teacher's without gradient.

        Raises:
            ValueError: One of them has no such map, or maps of other images.
        """
        if self.teacher_layer not in teacher.maps:
            raise ValueError(
                f'{type(self).__name__}: the teacher gives no map of layer {self.teacher_layer!r}, only '
                f'{sorted(teacher.maps)}: set teacher_layer, or write a cache again with --layers '
                f'{self.teacher_layer or "backbone"}'
            )
        if self.student_layer not in student.maps:
            raise ValueError(
                f'{type(self).__name__}: the student gives no map of layer {self.student_layer!r}, only '
                f'{sorted(student.maps)}: set student_layer'
            )
        own, other = student.maps[self.student_layer], teacher.maps[self.teacher_layer].detach()
        for layer, maps in ((self.student_layer, own), (self.teacher_layer, other)):
            if maps.dim() != 4:
                raise ValueError(
                    f'{type(self).__name__}: layer {layer!r} gives shape {tuple(maps.shape)}, not maps (N, D, h, w): '
                    'choose a layer before the pooling'
                )
        if len(own) != len(other):
            raise ValueError(
                f'{type(self).__name__}: maps of {len(own)} images (student) and of {len(other)} (teacher)'
            )
        return own, other

    def comparable_maps(self, student: DistillOutputs, teacher: DistillOutputs) -> tuple[Tensor, Tensor]:
        r"""Return the maps as :meth:`maps` does, the student's after :math:`\Psi`.

        Raises:
            ValueError: See :meth:`maps`; the channels differ.
        """
        own, other = self.maps(student, teacher)
        own = self.get_submodule(self.channel_map)(own)
        check_channels(own, other)
        return own, other


def check_channels(student: Tensor, teacher: Tensor) -> None:
    """Refuse to compare maps ``(N, D, h, w)`` with different numbers of channels.

    Raises:
        ValueError: The numbers differ.
    """
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            f'maps of shapes {tuple(student.shape)} (student) and {tuple(teacher.shape)} (teacher) must have equally '
            f'many channels: set student_channels and teacher_channels={teacher.size(1)}, so that a 1 × 1 convolution '
            'makes them comparable'
        )


def check_logits(student: Tensor | None, teacher: Tensor) -> Tensor:
    """Return the student's logits if they have the same images and labels as the teacher's predictions.

    Raises:
        ValueError: They have others.
    """
    if student is None or student.shape != teacher.shape:
        raise ValueError(
            f'the student has logits of shape {None if student is None else tuple(student.shape)}, the teacher '
            f'predictions of shape {tuple(teacher.shape)}: both must have the same images and labels (num_classes of '
            'both heads)'
        )
    return student
