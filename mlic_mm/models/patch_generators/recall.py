"""The share of objects that have a proposal."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou


def proposal_recall(
    pairs: Iterable[tuple[Tensor, Tensor]], nums: Sequence[int], thresholds: Sequence[float] = (0.5, 0.7)
) -> tuple[Tensor, int]:
    """Return the share of objects that one of the best proposals covers, the mean over all objects.

    Args:
        pairs: For each image its proposals ``(R, 4)``, the best first, and its objects ``(G, 4)``, both as
            [x1, y1, x2, y2] in the same unit.
        nums: Numbers of proposals to take.
        thresholds: Least IoU of a proposal that covers an object.

    Returns:
        Recall ``(len(nums), len(thresholds))``, NaN without objects, and the number of objects.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
        >>> proposal_recall([(box, box), (box + 20, box)], nums=[1], thresholds=[0.5])
        (tensor([[0.5000]], dtype=torch.float64), 2)
    """
    found = torch.zeros(len(nums), len(thresholds), dtype=torch.float64)
    limits = torch.tensor(thresholds, dtype=torch.float64)
    total = 0
    for proposals, objects in pairs:
        total += len(objects)
        if not len(proposals) or not len(objects):
            continue
        iou = box_iou(objects.double(), proposals.double())  # (G, R)
        for row, num in enumerate(nums):
            found[row] += (iou[:, :num].amax(1)[:, None] >= limits).sum(0)
    return found / total if total else found * float('nan'), total
