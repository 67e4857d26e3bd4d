"""Binary cross-entropy with a larger weight for the rarer of present and absent."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mlic_mm.registry import MODELS

from .multi_label_bce_loss import MultiLabelBCELoss, multi_label_bce


@MODELS.register_module()
class WeightedBCELoss(MultiLabelBCELoss):
    r"""Weighted sigmoid cross-entropy (attention consistency, Eq. 2 and 3).

    The weights are those of `DeepMAR <https://doi.org/10.1109/ACPR.2015.7486476>`_ (Li, Chen & Huang 2015). A label
    with the share :math:`p_j` of positives in the training set has the weight :math:`e^{1-p_j}` if it is present and
    :math:`e^{p_j}` if it is absent. The loss is summed over labels and averaged over images. A soft label has both
    terms, in proportion to its value. Negative targets are ignored.

    :class:`~mlic_mm.engine.hooks.PositiveRatioHook` counts :math:`p_j` before training, and checkpoints hold it. The
    loss is computed in float32 for logits of any type.

    Args:
        positive_ratio: :math:`p_j`, ``(C,)`` in [0, 1]; None leaves it to the hook.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: A ratio lies outside [0, 1]. When called: there are no ratios, or the number of ratios differs from
            the number of labels.

    Examples:
        >>> loss = MODELS.build(dict(type='mlic_mm.WeightedBCELoss', positive_ratio=[0.0, 0.0]))
        >>> rare = loss(torch.zeros(1, 2), torch.tensor([[1, 0]]))  # (e + 1) · log 2
        >>> round(rare.item(), 4)
        2.5773
    """

    positive_ratio: Tensor

    def __init__(self, positive_ratio: Sequence[float] | None = None, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.register_buffer('positive_ratio', torch.empty(0))
        if positive_ratio is not None:
            self.set_positive_ratio(torch.as_tensor(positive_ratio))

    def set_positive_ratio(self, ratio: Tensor) -> None:
        """Set the share of positives of every label, ``(C,)``."""
        if ratio.dim() != 1 or not ((ratio >= 0) & (ratio <= 1)).all():
            raise ValueError(f'positive_ratio={ratio.tolist()} must be (C,) numbers in [0, 1]')
        # A copy, since loading a checkpoint writes into it.
        self.positive_ratio = ratio.to(self.positive_ratio, copy=True)

    def forward(
        self, cls_score: Tensor, target: Tensor, weight: Tensor | None = None, avg_factor: float | None = None
    ) -> Tensor:
        """See :func:`multi_label_bce`."""
        ratio = self.positive_ratio.float()  # half precision in a half-precision model
        if len(ratio) != cls_score.size(1):
            cure = (
                "add custom_hooks=[dict(type='mlic_mm.PositiveRatioHook')] or set positive_ratio"
                if not len(ratio)
                else 'use the ratios of this training set'
            )
            raise ValueError(f'WeightedBCELoss has ratios of {len(ratio)} labels for {cls_score.size(1)}: {cure}')
        loss = multi_label_bce(cls_score.float(), target.float(), weight, avg_factor, (1 - ratio).exp(), ratio.exp())
        return self.loss_weight * loss

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A loss that was built without ratios takes those of any checkpoint.
        stored = state_dict.get(f'{prefix}positive_ratio')
        if stored is not None and not len(self.positive_ratio):
            self.positive_ratio = self.positive_ratio.new_zeros(len(stored))
        super()._load_from_state_dict(state_dict, prefix, *args)
