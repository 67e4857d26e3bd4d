"""Distance between the maps of an image, moved as the image was, and the maps of its transformed image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlic_mm.registry import MODELS

LEVELS = ('feature', 'attention', 'label')
DISTANCES = ('mse', 'norm')


def attention_distance(moved: Tensor, seen: Tensor, weight: Tensor | None = None, distance: str = 'mse') -> Tensor:
    r"""Distance of two sets of maps, for each image (Eq. 5 of attention consistency).

    Paper: Eq. 5 has the norm of each map's difference, the text its mean square. Here: ``'mse'``,
    :math:`\frac{1}{CHW} \sum_j \|\hat M_j - M'_j\|^2`, is the default; ``'norm'`` is the literal
    :math:`\frac{1}{CHW} \sum_j \|\hat M_j - M'_j\|_2`, whose value falls with the size of the map and whose gradient
    does not shrink with the difference.

    Args:
        moved: ``(N, C, H, W)``.
        seen: ``(N, C, H, W)``.
        weight: ``(H, W)``, how many of the ``HW`` cells each place stands for; 1 by default.
        distance: ``'mse'`` or ``'norm'``.

    Returns:
        ``(N,)``, float32, or float64 of float64 maps.

    Raises:
        ValueError: The maps differ in shape.
    """
    if moved.shape != seen.shape or moved.dim() != 4:
        raise ValueError(f'maps of shapes {tuple(moved.shape)} and {tuple(seen.shape)}; both must be (N, C, H, W)')
    dtype = torch.promote_types(moved.dtype, torch.float32)  # squares of half-precision maps overflow
    difference = moved.to(dtype) - seen.to(dtype)
    if weight is None:
        cells: Tensor | int = moved.size(2) * moved.size(3)
    else:
        weight = weight.to(dtype)
        cells = weight.sum()
        difference = difference * weight.sqrt()
    difference = difference.flatten(2)  # (N, C, HW)
    if distance == 'norm':
        return torch.linalg.vector_norm(difference, dim=2).mean(1) / cells
    return difference.square().sum(2).mean(1) / cells


@MODELS.register_module()
class AttentionConsistencyLoss(nn.Module):
    r""":math:`\lambda \ell_a`: the mean over images of :func:`attention_distance`, summed over transforms (Eq. 5 to 7).

    λ grows from 0 with :class:`~mlic_mm.engine.hooks.LossWarmupHook`.

    Args:
        level: What is to be consistent (Table 3): ``'attention'``, the maps of the labels; ``'feature'``, the
            backbone's last map; ``'label'``, the logits.
        distance: ``'mse'`` or ``'norm'``, see :func:`attention_distance`.
        loss_weight: λ (Eq. 6).

    Raises:
        ValueError: An unknown level or distance, a negative λ.
    """

    def __init__(self, level: str = 'attention', distance: str = 'mse', loss_weight: float = 1.0) -> None:
        super().__init__()
        for name, value, known in (('level', level, LEVELS), ('distance', distance, DISTANCES)):
            if value not in known:
                raise ValueError(f'AttentionConsistencyLoss: {name}={value!r} is none of {", ".join(map(repr, known))}')
        if loss_weight < 0:
            raise ValueError(f'AttentionConsistencyLoss: loss_weight={loss_weight} is negative')
        self.level = level
        self.distance = distance
        self.loss_weight = loss_weight

    def forward(self, pairs: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
        """Return the loss of the maps of an image and of each of its views.

        Args:
            pairs: For each transform moved maps, maps seen and weights, as :func:`attention_distance` takes them.
        """
        distances = [attention_distance(*pair, distance=self.distance).mean() for pair in pairs]
        return self.loss_weight * torch.stack(distances).sum()
