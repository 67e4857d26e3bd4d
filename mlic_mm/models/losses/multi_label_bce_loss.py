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
    """Return the binary cross-entropy, summed over labels and averaged over images.

    Paper: Deep-LIFT, Eq. 8. Here: the same with the opposite sign, since the printed equation is to be maximised.

    Args:
        cls_score: Logits ``(N, C)``.
        target: Labels ``(N, C)`` in [0, 1], soft labels allowed. Negative ones are ignored. Not changed.
        weight: Weights of the images, ``(N,)``.
        avg_factor: Divisor of the sum; ``N`` by default.
        positive_weight: Weights ``(C,)`` of the part of ``target``.
        negative_weight: Weights ``(C,)`` of the part of ``1 - target``. Give both or none.

    Returns:
        Scalar. Images whose targets are all ignored still count in ``N``, so that the gradient of a label does not
        depend on the rest of the batch.

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
    """Module form of :func:`multi_label_bce`, for mmpretrain's multi-label heads.

    If no target is negative, the value is that of ``mmpretrain.CrossEntropyLoss(use_sigmoid=True)`` in these heads.
    torch's ``MultiLabelSoftMarginLoss`` divides by ``C`` as well, so learning rates differ by this factor between
    codebases.

    Args:
        loss_weight: Factor of the loss.

    Examples:
        >>> import torch
        >>> loss = MODELS.build(dict(type='mlic_mm.MultiLabelBCELoss'))
        >>> loss(torch.zeros(1, 3), torch.tensor([[1, 0, -1]]))  # 2 · log 2: the third label is ignored
        tensor(1.3863)
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
