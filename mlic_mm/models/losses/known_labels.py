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

    Losses of mmpretrain take −1 for a number and push such labels away more strongly than absent ones. From now on
    an ignored label adds 0 to the loss and has no gradient. What the sum is divided by stays the same. Targets without
    ignored labels, and targets that are class indices, have the loss that they had.

    A loss that deals with −1 itself says so by an attribute ``takes_unknown = True``. It is left alone.

    Args:
        model: Heads keep their loss in ``loss_module``, as those of mmpretrain do. Keys of state dicts stay the same.

    Returns:
        Names of the losses that were changed now: ``['CrossEntropyLoss']``.

    Raises:
        ValueError: Later, with the first batch that has ignored labels, where a loss gives no value for each label.
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
    """Compute the loss of the known labels; the arguments are those of all losses of OpenMMLab.

    ``by_label``: it can be asked for the value of each label.
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
            'use_sigmoid=True; let the data set give no −1; or set takes_unknown = True on a loss of your own that '
            'deals with −1 itself'
        )
