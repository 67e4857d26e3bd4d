"""What all losses of distillation have in common."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from .distill_outputs import DistillOutputs


class DistillLoss(nn.Module, ABC):
    """A loss between a teacher's outputs and a student's; parameters of its own are learnt with the student.

    Subclasses register themselves in :data:`mlic_mm.registry.MODELS` and stand in ``DistillClassifier(distill=…)``.

    Args:
        loss_weight: Factor of the loss.

    Attributes:
        level: ``'feature'`` for losses of stage 1, ``'prediction'`` for those of stage 2.

    Raises:
        ValueError: A negative factor.
    """

    level: ClassVar[str]

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        if loss_weight < 0:
            raise ValueError(f'{type(self).__name__}: loss_weight={loss_weight} is negative')
        self.loss_weight = loss_weight

    @abstractmethod
    def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
        """Return the loss, a scalar."""


class FeatureDistillLoss(DistillLoss):
    """A loss between a map of the teacher and a map of the student.

    Args:
        student_layer: Dotted name of the student's module that gives the map, such as ``'backbone.layer3'``; the last
            map of the backbone by default.
        teacher_layer: The same of the teacher; by default ``student_layer``.
        loss_weight: Factor of the loss.
    """

    level = 'feature'

    def __init__(self, student_layer: str = '', teacher_layer: str | None = None, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.student_layer = student_layer
        self.teacher_layer = student_layer if teacher_layer is None else teacher_layer

    def maps(self, student: DistillOutputs, teacher: DistillOutputs) -> tuple[Tensor, Tensor]:
        """Return the student's map and the teacher's, ``(N, D, h, w)``, the latter without gradient.

        Raises:
            ValueError: One of them has no such map, or maps of other images.
        """
        if self.teacher_layer not in teacher.maps:
            raise ValueError(
                f'{type(self).__name__}: the teacher gives no map of layer {self.teacher_layer!r}, only '
                f'{sorted(teacher.maps)}; from a cache, write it again with --layers {self.teacher_layer or "backbone"}'
            )
        if self.student_layer not in student.maps:
            raise ValueError(
                f'{type(self).__name__}: the student gives no map of layer {self.student_layer!r}, only '
                f'{sorted(student.maps)}; set student_layer'
            )
        own, other = student.maps[self.student_layer], teacher.maps[self.teacher_layer].detach()
        for layer, maps in ((self.student_layer, own), (self.teacher_layer, other)):
            if maps.dim() != 4:
                raise ValueError(
                    f'{type(self).__name__}: layer {layer!r} gives shape {tuple(maps.shape)}, not maps (N, D, h, w); '
                    'choose a layer before the pooling'
                )
        if len(own) != len(other):
            raise ValueError(
                f'{type(self).__name__}: maps of {len(own)} images (student) and of {len(other)} (teacher)'
            )
        return own, other


def channel_map(name: str, student_channels: int | None, teacher_channels: int | None) -> nn.Module:
    r"""Return :math:`\Psi` (KD from WSD, Eq. 4): a 1 × 1 convolution where channels differ, else the identity.

    Raises:
        ValueError: Only one of the two is given.
    """
    if (student_channels is None) != (teacher_channels is None):
        raise ValueError(f'{name}: give both student_channels and teacher_channels, or none where they are equal')
    if student_channels is None or teacher_channels is None or student_channels == teacher_channels:
        return nn.Identity()
    return nn.Conv2d(student_channels, teacher_channels, 1)


def check_channels(name: str, student: Tensor, teacher: Tensor) -> None:
    """Check that maps to be compared have equally many channels.

    Raises:
        ValueError: They do not.
    """
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            f'{name}: maps of shapes {tuple(student.shape)} (student) and {tuple(teacher.shape)} (teacher); set '
            f'student_channels and teacher_channels={teacher.size(1)} so that a 1 × 1 convolution makes them comparable'
        )


def check_logits(name: str, student: Tensor | None, teacher: Tensor) -> Tensor:
    """Return the student's logits if they are of the same images and labels as the teacher's predictions.

    Raises:
        ValueError: They are not.
    """
    if student is None or student.shape != teacher.shape:
        raise ValueError(
            f'{name}: the student has logits of shape {None if student is None else tuple(student.shape)}, the teacher '
            f'of {tuple(teacher.shape)}: both must be of the same images and labels (num_classes of both heads)'
        )
    return student
