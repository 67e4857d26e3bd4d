"""Which labels a patch has."""

from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['BRANCHES', 'patch_targets']

BRANCHES = ('object', 'context')
INSIDE = 0.5
"""Least part of an object that a patch holds if it has its label, and of a patch in a crowd that leaves it open."""


def patch_targets(
    boxes: Tensor,
    objects: InstanceData,
    ignored: InstanceData,
    num_classes: int,
    iou: float | None = None,
) -> Tensor:
    """Labels of the objects that patches match or hold (spatial context, section 2.4).

    Args:
        boxes: ``(P, 4)``, patches.
        objects: ``bboxes`` ``(G, 4)`` and ``labels`` ``(G,)``.
        ignored: The same, of difficult objects and crowds.
        num_classes: C.
        iou: Least intersection over union of a patch and an object that match; None asks for half of the object inside.

    Returns:
        ``(P, C)``: 1; −1 where only ignored objects match, or the patch lies in one by half; 0.
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
