"""Distance between the transformed maps of an image and the maps of the transformed image."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_choice, check_range

Level = Literal['feature', 'attention', 'label']
Distance = Literal['mse', 'norm']


def attention_distance(moved: Tensor, seen: Tensor, weight: Tensor | None = None, distance: Distance = 'mse') -> Tensor:
    r"""Return the distance of two sets of maps, for each image (attention consistency, Eq. 5).

    Paper: Eq. 5 has the norm of each map's difference, the text its mean square. Here: ``'mse'``,
    :math:`\frac{1}{CHW} \sum_j \|\hat M_j - M'_j\|^2`, is the default. ``'norm'`` is the literal
    :math:`\frac{1}{CHW} \sum_j \|\hat M_j - M'_j\|_2`. Its value falls with the size of the map, and its gradient does
    not shrink with the difference.

    Args:
        moved: Maps of the image, transformed like the image, ``(N, C, H, W)``.
        seen: Maps of the transformed image, ``(N, C, H, W)``.
        weight: How many of the ``HW`` cells each place stands for, ``(H, W)``; 1 by default.
        distance: ``'mse'`` or ``'norm'``.

    Returns:
        ``(N,)``, float32, or float64 of float64 maps.

    Raises:
        ValueError: The maps differ in shape.
    """
    if moved.shape != seen.shape or moved.dim() != 4:
        raise ValueError(f'maps of shapes {tuple(moved.shape)} and {tuple(seen.shape)}: both must be (N, C, H, W)')
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
    r"""Attention consistency, :math:`\lambda \ell_a`.

    The mean over images of :func:`attention_distance`, summed over transforms (`attention consistency
    <https://openaccess.thecvf.com/content_CVPR_2019/html/Guo_Visual_Attention_Consistency_Under_Image_Transforms_for_Multi-Label_Image_Classification_CVPR_2019_paper.html>`_,
    Guo et al. 2019, Eq. 5 to 7). :class:`~mlic_mm.engine.hooks.LossWarmupHook` lets λ grow from 0.

    Args:
        level: What must be consistent (Table 3): ``'attention'``, the maps of the labels; ``'feature'``, the
            backbone's last map; ``'label'``, the logits.
        distance: ``'mse'`` or ``'norm'``, see :func:`attention_distance`.
        loss_weight: λ (Eq. 6), at least 0.

    Raises:
        ValueError: ``level`` or ``distance`` is unknown, or λ is negative.

    Examples:
        >>> loss = MODELS.build(dict(type='mlic_mm.AttentionConsistencyLoss', loss_weight=0.5))
        >>> moved, seen = torch.zeros(2, 3, 7, 7), torch.ones(2, 3, 7, 7)
        >>> loss([(moved, seen, None), (seen, seen, None)])  # of two views
        tensor(0.5000)
    """

    def __init__(self, level: Level = 'attention', distance: Distance = 'mse', loss_weight: float = 1.0) -> None:
        super().__init__()
        check_choice('level', level, get_args(Level))
        check_choice('distance', distance, get_args(Distance))
        check_range('loss_weight', loss_weight, at_least=0)
        self.level: Level = level
        self.distance: Distance = distance
        self.loss_weight = loss_weight

    def forward(self, pairs: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
        """Return the loss of the maps of an image and of each of its views.

        Args:
            pairs: For each transform the arguments ``moved``, ``seen`` and ``weight`` of :func:`attention_distance`.
        """
        distances = [attention_distance(*pair, distance=self.distance).mean() for pair in pairs]
        return self.loss_weight * torch.stack(distances).sum()
