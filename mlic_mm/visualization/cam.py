"""Grad-CAM: the places in a map that speak for a label."""

import torch
from torch import Tensor


def grad_cam(scores: Tensor, activations: Tensor) -> Tensor:
    r"""Return gradient-weighted class activation maps of several labels.

    Paper: `Grad-CAM <https://arxiv.org/abs/1610.02391>`_ (Selvaraju et al. 2017), Eq. 1 and 2. For the score
    :math:`y_l` of a label and the channels :math:`A_k` of a map, the result is
    :math:`\mathrm{ReLU}(\sum_k \alpha_{lk} A_k)`. The weight :math:`\alpha_{lk}` is the mean over places of
    :math:`\partial y_l / \partial A_k`. All images share one backward pass for each label. This needs of the model only
    what training needs. Batching over labels too would need vmap rules for every custom operator, and L times the
    memory.

    Args:
        scores: Logits ``(N, L)`` of the labels to explain, computed from ``activations`` with gradients on. The score
            of an image must depend on that image alone, so batch normalisation must be in eval mode.
        activations: The map to look at, ``(N, K, H, W)``.

    Returns:
        Maps ``(N, L, H, W)``, not negative, not scaled, detached.

    Raises:
        ValueError: A shape is wrong, or the scores were not computed from ``activations``.

    Example:
        >>> activations = torch.tensor([[[[1.0, 3.0]]]], requires_grad=True)  # (1, 1, 1, 2)
        >>> scores = activations.sum((2, 3))
        >>> grad_cam(scores, activations).tolist()
        [[[[1.0, 3.0]]]]
    """
    if scores.dim() != 2 or activations.dim() != 4 or scores.size(0) != activations.size(0):
        raise ValueError(
            f'grad_cam needs scores (N, L) and activations (N, K, H, W), got {tuple(scores.shape)} and '
            f'{tuple(activations.shape)}'
        )
    if not scores.requires_grad or not activations.requires_grad:
        raise ValueError('grad_cam needs scores computed from activations with gradients on (torch.enable_grad)')
    weights = []
    for label in range(scores.size(1)):
        (gradient,) = torch.autograd.grad(scores[:, label].sum(), activations, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise ValueError('grad_cam: the scores do not depend on these activations')
        weights.append(gradient.mean(dim=(2, 3)))  # (N, K)
    if not weights:
        return activations.new_zeros(activations.size(0), 0, *activations.shape[2:])
    cams = torch.einsum('lnk,nkhw->nlhw', torch.stack(weights), activations.detach())
    return cams.relu()
