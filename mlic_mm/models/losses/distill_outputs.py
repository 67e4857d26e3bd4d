"""Outputs of a teacher, and of the student that is compared with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class DistillOutputs:
    """Outputs of a teacher, or of a student, for a batch of N images.

    A student has ``logits`` and ``maps``. A teacher sets the fields that its type provides. The others stay empty.

    Attributes:
        logits: Image logits ``(N, C)``. Their sigmoid is the probability of a label. For a teacher that looks at
            regions, this probability is the sum of the probabilities of its regions.
        maps: Maps ``(N, D, h, w)`` by the name of their layer; ``''`` is the last map of the backbone.
        cls_logits: :math:`M^c`, the classification branch of a weakly supervised detector, ``(N, R, C)``.
        det_logits: :math:`M^d`, its detection branch, ``(N, R, C)``.
        boxes: Regions after NMS, one ``(R', 4)`` an image, [x1, y1, x2, y2] as fractions of width and height.
        box_scores: Objectness :math:`s'` of these regions, one ``(R',)`` an image.
    """

    logits: Tensor | None = None
    maps: dict[str, Tensor] = field(default_factory=dict)
    cls_logits: Tensor | None = None
    det_logits: Tensor | None = None
    boxes: Sequence[Tensor] = ()
    box_scores: Sequence[Tensor] = ()
