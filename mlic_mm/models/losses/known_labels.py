"""Losses of other packages, computed on the labels that are known."""

import functools
import inspect
from typing import Any

import torch
from mmpretrain.models.losses import weight_reduce_loss
from torch import Tensor, nn

__all__ = ['leave_out_unknown']

CERTAINLY_ABSENT = -1e4
"""Logit whose probability is 0 in every precision, so that a softmax over the labels leaves the label out as well."""


def leave_out_unknown(model: nn.Module) -> list[str]:
    """Make the losses of all heads in a model leave out ignored labels, whose targets are −1.

    Losses of mmpretrain compute with −1 as a number. Their gradient for such a label is larger than for an absent one.
    After this call, an ignored label adds 0 to the loss and has no gradient. The divisor of the sum stays the same. The
    loss of targets without ignored labels, and of targets that are class indices, does not change.

    A loss with the attribute ``takes_unknown = True`` handles −1 itself. It is not changed.

    Args:
        model: Its heads keep their loss in ``loss_module``, as mmpretrain's do. Keys of state dicts stay the same.

    Returns:
        Names of the losses that were changed now: ``['CrossEntropyLoss']``.

    Raises:
        ValueError: Later, in the first batch with ignored labels, if a loss gives no value for each label.

    Examples:
        >>> from mmpretrain.models.heads import MultiLabelLinearClsHead
        >>> head = MultiLabelLinearClsHead(num_classes=2, in_channels=4)
        >>> leave_out_unknown(head)
        ['CrossEntropyLoss']
        >>> score, target = torch.tensor([[0.0, 9.0]]), torch.tensor([[1.0, -1.0]])
        >>> head.loss_module(score, target, avg_factor=1)  # log 2: the second label is ignored
        tensor(0.6931)
    """
    changed = []
    for head in model.modules():
        loss = getattr(head, 'loss_module', None)
        if not isinstance(loss, nn.Module) or getattr(loss, 'takes_unknown', False):
            continue
        by_label = 'reduction_override' in inspect.signature(type(loss).forward).parameters
        # On the object: a module around it would change the keys of its weights in checkpoints.
        loss.__dict__.update(takes_unknown=True, forward=functools.partial(_known_loss, loss, by_label))
        changed.append(type(loss).__name__)
    return changed


def _known_loss(
    loss: nn.Module,
    by_label: bool,
    cls_score: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    avg_factor: float | None = None,
    reduction_override: str | None = None,
    **kwargs: Any,
) -> Tensor:
    """Compute the loss of the known labels. The arguments are those of all losses of OpenMMLab.

    Args:
        by_label: Whether the loss can return a value for each label.
    """
    forward = functools.partial(type(loss).forward, loss)
    options = dict(weight=weight, avg_factor=avg_factor, reduction_override=reduction_override)
    given = {name: value for name, value in options.items() if value is not None} | kwargs
    if target.shape != cls_score.shape:
        return forward(cls_score, target, **given)
    unknown = target < 0
    if not by_label:
        _refuse(loss, unknown)
        return forward(cls_score, target, **given)
    given |= dict(reduction_override='none')
    given.pop('avg_factor', None)
    each = forward(cls_score.masked_fill(unknown, CERTAINLY_ABSENT), target.masked_fill(unknown, 0), **given)
    if each.shape == target.shape:
        each = each.masked_fill(unknown, 0)
    else:
        _refuse(loss, unknown)
    return weight_reduce_loss(each, None, reduction_override or getattr(loss, 'reduction', 'mean'), avg_factor)


def _refuse(loss: nn.Module, unknown: Tensor) -> None:
    # Without ignored labels, nothing is wrong with such a loss.
    if bool(torch.any(unknown)):
        raise ValueError(
            f'{type(loss).__name__} gives no value for each label (N, C), so ignored labels (−1) cannot be left out: '
            "use mlic_mm.MultiLabelBCELoss or mmpretrain's AsymmetricLoss, FocalLoss or CrossEntropyLoss with "
            'use_sigmoid=True, or a data set without −1, or set takes_unknown = True on a loss of your own that deals '
            'with −1 itself'
        )
