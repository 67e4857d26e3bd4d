"""Targets of patches."""

from typing import Literal, get_args

from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['BRANCHES', 'Branch', 'patch_targets']

Branch = Literal['object', 'context']
BRANCHES: tuple[Branch, ...] = get_args(Branch)
INSIDE = 0.5
"""The least part of an object that gives a patch its label, and of a patch in a crowd that leaves its label open."""


def patch_targets(
    boxes: Tensor,
    objects: InstanceData,
    ignored: InstanceData,
    num_classes: int,
    iou: float | None = None,
) -> Tensor:
    """Return the labels of the objects that patches match or contain (spatial context, section 2.4).

    Args:
        boxes: Patches, ``(P, 4)``.
        objects: ``bboxes`` ``(G, 4)`` and ``labels`` ``(G,)``.
        ignored: The same fields, of difficult objects and crowds.
        num_classes: C.
        iou: Least IoU of a patch and an object that match. With None, a patch matches if it contains half of the
            object.

    Returns:
        ``(P, C)``: 1 for labels of matching objects; −1 if only an ignored object matches, or if half of the patch lies
        in an ignored object; otherwise 0.
    """
    from mmdet.structures.bbox import bbox_overlaps

    def has(other: InstanceData) -> Tensor:  # (P, G)
        if iou is None:
            return bbox_overlaps(other.bboxes, boxes, mode='iof').T >= INSIDE
        return bbox_overlaps(boxes, other.bboxes) >= iou

    def labels_of(matched: Tensor, labels: Tensor) -> Tensor:  # (P, C)
        found = boxes.new_zeros(len(boxes), num_classes)
        return found.index_add_(1, labels, matched.to(found.dtype)) > 0

    present = labels_of(has(objects), objects.labels)
    within = bbox_overlaps(boxes, ignored.bboxes, mode='iof') >= INSIDE
    unknown = labels_of(has(ignored) | within, ignored.labels)
    return present.to(boxes.dtype) - (unknown & ~present).to(boxes.dtype)
