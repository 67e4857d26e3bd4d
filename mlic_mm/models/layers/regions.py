"""What weakly supervised detection computes for regions: pooled features, fused scores, a choice of few regions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from mlic_mm.utils.boxes import image_frame

__all__ = ['fuse_branches', 'image_logits', 'roi_pool', 'select_regions']


def roi_pool(maps: Tensor, boxes: Sequence[Tensor], size: int) -> Tensor:
    r"""Maximum of each of ``size × size`` parts of every region, :math:`\phi_{ROI}` (KD from WSD, Eq. 2).

    torchvision's RoI pooling, on CPU and GPU, in float32 where the maps are of half precision: corners are rounded to
    cells, both of which belong to the region. A corner on the right or lower edge would so be rounded out of the map,
    and the parts there give zeros, more of them the coarser the map; here it is the last cell.

    Args:
        maps: ``(N, D, h, w)``.
        boxes: N tensors ``(R_n, 4)``, [x1, y1, x2, y2] in cells of the map.
        size: Parts along each side.

    Returns:
        ``(ΣR_n, D, size, size)``, image by image.

    Raises:
        ValueError: Boxes of more or fewer images than there are maps.
    """
    if len(boxes) != len(maps):
        raise ValueError(
            f'roi_pool: boxes of {len(boxes)} images for the maps of {len(maps)}; give one tensor an image'
        )
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    last = maps.new_tensor(image_frame(maps.size(3) - 1, maps.size(2) - 1))
    return ops.roi_pool(maps, [box.to(maps.dtype).minimum(last) for box in boxes], size)


def fuse_branches(cls_logits: Tensor, det_logits: Tensor) -> Tensor:
    r"""Score matrix :math:`S = \sigma_C(M^c) \otimes \sigma_R(M^d)` (KD from WSD, section 3.1).

    The sum over regions is the probability of a label in the image and lies in [0, 1]; the sum over labels is the
    objectness :math:`s'` of a region. Computed in float32 at least.

    Args:
        cls_logits: ``(…, R, C)``, softmax over the C labels.
        det_logits: ``(…, R, C)``, softmax over the R regions; −inf where an image has fewer.
    """
    dtype = torch.promote_types(cls_logits.dtype, torch.float32)
    return cls_logits.softmax(-1, dtype=dtype) * det_logits.softmax(-2, dtype=dtype)


def image_logits(cls_logits: Tensor, det_logits: Tensor) -> Tensor:
    r"""Logits of the probabilities :math:`p = \sum_R S` of labels in images (KD from WSD, section 3.1).

    The same as ``fuse_branches(…).sum(-2).logit()``, but :math:`\log p` and :math:`\log(1 - p)` are sums of logarithms,
    so that the result is finite and has a gradient where p rounds to 0 or 1. Computed in float32 at least.

    Args:
        cls_logits: ``(…, R, C)``, of at least two labels.
        det_logits: ``(…, R, C)``; −inf where an image has fewer regions.

    Returns:
        ``(…, C)``.
    """
    dtype = torch.promote_types(cls_logits.dtype, torch.float32)
    cls = cls_logits.log_softmax(-1, dtype=dtype)  # log S^c
    det = det_logits.log_softmax(-2, dtype=dtype)
    # log(1 - S^c): of the greatest label the logarithm of what all others sum up to, of others S^c is at most a half.
    top = cls.argmax(-1, keepdim=True)
    others = cls.scatter(-1, top, -torch.inf)
    rest = others.logsumexp(-1, keepdim=True)
    absent = torch.log1p(-others.exp()).scatter(-1, top, rest)
    return (cls + det).logsumexp(-2) - (absent + det).logsumexp(-2)


def select_regions(boxes: Tensor, scores: Tensor, iou_threshold: float, num: int) -> Tensor:
    """Return the indices of the best ``num`` regions after non-maximum suppression, the best first.

    Fewer are recycled in their order (KD from WSD, section 3.3), so that every image has ``num``; none stay none.

    Args:
        boxes: ``(R, 4)``.
        scores: ``(R,)``.
        iou_threshold: Of two regions that overlap by more, the worse one is left out.
        num: How many.
    """
    kept = ops.nms(boxes.float(), scores.float(), iou_threshold)[:num]
    if 0 < len(kept) < num:
        kept = kept[torch.arange(num, device=kept.device) % len(kept)]
    return kept
