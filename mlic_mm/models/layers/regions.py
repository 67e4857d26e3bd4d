"""Computations of weakly supervised detection: pooled features of regions, fused scores, a choice of few regions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from mlic_mm.utils.boxes import image_frame

__all__ = ['fuse_branches', 'image_logits', 'roi_pool', 'select_regions']


def roi_pool(maps: Tensor, boxes: Sequence[Tensor], size: int) -> Tensor:
    r"""Return the maximum of each of ``size × size`` parts of every region, :math:`\phi_{ROI}` (KD from WSD, Eq. 2).

    This is torchvision's RoI pooling, on CPU and GPU, in float32 at least. It rounds corners to cells and counts both
    cells as parts of the region. A corner on the right or lower edge would be rounded to a cell outside of the map, and
    parts there would be zero, more of them on coarser maps. Here such a corner is the last cell.

    Args:
        maps: ``(N, D, h, w)``.
        boxes: N tensors ``(R_n, 4)``, [x1, y1, x2, y2] in cells of the map.
        size: Number of parts along each side.

    Returns:
        ``(ΣR_n, D, size, size)``, image by image.

    Raises:
        ValueError: The number of tensors in ``boxes`` differs from the number of maps.
    """
    if len(boxes) != len(maps):
        raise ValueError(f'boxes of {len(boxes)} images for the maps of {len(maps)}: give one tensor an image')
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    last = maps.new_tensor(image_frame(maps.size(3) - 1, maps.size(2) - 1))
    return ops.roi_pool(maps, [box.to(maps.dtype).minimum(last) for box in boxes], size)


def fuse_branches(cls_logits: Tensor, det_logits: Tensor) -> Tensor:
    r"""Return the score matrix :math:`S = \sigma_C(M^c) \otimes \sigma_R(M^d)` (KD from WSD, section 3.1).

    The sum over regions is the probability of a label in the image and lies in [0, 1]. The sum over labels is the
    objectness :math:`s'` of a region. Computed in float32 at least.

    Args:
        cls_logits: Logits ``(…, R, C)`` for the softmax over the C labels.
        det_logits: Logits ``(…, R, C)`` for the softmax over the R regions; −inf for regions that an image lacks.
    """
    dtype = torch.promote_types(cls_logits.dtype, torch.float32)
    return cls_logits.softmax(-1, dtype=dtype) * det_logits.softmax(-2, dtype=dtype)


def image_logits(cls_logits: Tensor, det_logits: Tensor) -> Tensor:
    r"""Return the logits of the probabilities :math:`p = \sum_R S` of labels in images (KD from WSD, section 3.1).

    The result is ``fuse_branches(…).sum(-2).logit()``, but :math:`\log p` and :math:`\log(1 - p)` are sums of
    logarithms, so it is finite and has a gradient if p rounds to 0 or 1. Computed in float32 at least.

    Args:
        cls_logits: Logits ``(…, R, C)`` of at least two labels.
        det_logits: Logits ``(…, R, C)``; −inf for regions that an image lacks.

    Returns:
        ``(…, C)``.
    """
    dtype = torch.promote_types(cls_logits.dtype, torch.float32)
    cls = cls_logits.log_softmax(-1, dtype=dtype)  # log S^c
    det = det_logits.log_softmax(-2, dtype=dtype)
    # log(1 - S^c): for the greatest label, the logarithm of the sum of all others; for others, S^c is at most a half.
    top = cls.argmax(-1, keepdim=True)
    others = cls.scatter(-1, top, -torch.inf)
    rest = others.logsumexp(-1, keepdim=True)
    absent = torch.log1p(-others.exp()).scatter(-1, top, rest)
    return (cls + det).logsumexp(-2) - (absent + det).logsumexp(-2)


def select_regions(boxes: Tensor, scores: Tensor, iou_threshold: float, num: int) -> Tensor:
    """Return the indices of the best ``num`` regions after non-maximum suppression, the best first.

    If fewer regions are left, they are repeated in their order (KD from WSD, section 3.3), so that every image has
    ``num``. Without any region, the result is empty.

    Args:
        boxes: ``(R, 4)``.
        scores: ``(R,)``.
        iou_threshold: If the IoU of two regions is larger, the one with the lower score is dropped.
        num: Number of regions.

    Example:
        >>> boxes = torch.tensor([[0, 0, 9, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
        >>> select_regions(boxes, torch.tensor([0.8, 0.9, 0.5]), iou_threshold=0.5, num=3)
        tensor([1, 2, 1])
    """
    kept = ops.nms(boxes.float(), scores.float(), iou_threshold)[:num]
    if 0 < len(kept) < num:
        kept = kept[torch.arange(num, device=kept.device) % len(kept)]
    return kept
