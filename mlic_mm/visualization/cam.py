"""Grad-CAM: where in a map the evidence for a label lies."""

import torch
from torch import Tensor


def grad_cam(scores: Tensor, activations: Tensor) -> Tensor:
    r"""Gradient-weighted class activation maps of several labels.

    For the score :math:`y_l` of a label and the channels :math:`A_k` of a map,
    :math:`\mathrm{ReLU}(\sum_k \alpha_{lk} A_k)` with :math:`\alpha_{lk}` the mean over places of
    :math:`\partial y_l / \partial A_k` (Selvaraju et al. 2017, Eq. 1 and 2). All images share one backward
    pass per label, which asks of the model only what training asks of it; batching over labels too would need vmap
    rules for every custom operator and L times the memory.

    Args:
        scores: Logits ``(N, L)`` of the labels to explain, computed from ``activations`` with gradients on. The score
            of an image must depend on that image alone: batch normalisation in eval mode.
        activations: The map to look at, ``(N, K, H, W)``.

    Returns:
        Maps ``(N, L, H, W)``, not negative, not scaled, detached.

    Raises:
        ValueError: Wrong shapes, or the scores were not computed from ``activations``.
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
