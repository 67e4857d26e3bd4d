"""Binary cross-entropy over labels with ignored targets."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from mlic_mm.registry import MODELS


def multi_label_bce(
    cls_score: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    avg_factor: float | None = None,
    positive_weight: Tensor | None = None,
    negative_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy summed over labels, averaged over images (Deep-LIFT Eq. 8 with its sign mended).

    Args:
        cls_score: ``(N, C)`` logits.
        target: ``(N, C)`` in [0, 1], soft labels allowed; negative = ignored. Not changed.
        weight: ``(N,)`` image weights.
        avg_factor: Divisor of the sum; ``N`` by default.
        positive_weight: ``(C,)`` weights of the part of ``target``.
        negative_weight: ``(C,)`` weights of the part of ``1 - target``; both or none.

    Returns:
        Scalar. Images whose targets are all ignored still count in ``N``, so that a label's gradient does not depend on
        what else the batch holds.

    Raises:
        ValueError: ``cls_score`` and ``target`` differ in shape.
    """
    if cls_score.shape != target.shape:
        raise ValueError(
            f'logits have shape {tuple(cls_score.shape)}, targets {tuple(target.shape)}: num_classes of the head and '
            "the number of the data set's labels must agree"
        )
    known = target >= 0
    truth = target.clamp(min=0).to(cls_score.dtype)
    if positive_weight is None or negative_weight is None:
        loss = F.binary_cross_entropy_with_logits(cls_score, truth, reduction='none')
    else:
        ratio = positive_weight / negative_weight
        loss = F.binary_cross_entropy_with_logits(cls_score, truth, pos_weight=ratio, reduction='none')
        loss = loss * negative_weight
    loss = (loss * known).sum(dim=1)  # (N,)
    if weight is not None:
        loss = loss * weight
    return loss.sum() / (cls_score.size(0) if avg_factor is None else avg_factor)


@MODELS.register_module()
class MultiLabelBCELoss(nn.Module):
    """Module form of :func:`multi_label_bce`, called by mmpretrain's multi-label heads.

    The same figure as ``mmpretrain.CrossEntropyLoss(use_sigmoid=True)`` in those heads where no target is negative.
    torch's ``MultiLabelSoftMarginLoss`` divides by ``C`` as well: learning rates differ by that factor between
    codebases.

    Args:
        loss_weight: Factor of the loss.
    """

    takes_unknown: ClassVar[bool] = True

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, cls_score: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | None = None
    ) -> Tensor:
        """See :func:`multi_label_bce`."""
        return self.loss_weight * multi_label_bce(cls_score, target, weight, avg_factor)
