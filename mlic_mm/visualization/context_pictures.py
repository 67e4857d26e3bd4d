"""Pictures of what only the context branch finds (spatial context, Fig. 3)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torchvision.ops import box_iou

from .region_pictures import ADDED, FOUND, NamedBox, RegionPicture, ScoredLabel

IOU = 0.5
MOST = 6
"""The largest number of lines for detections of both branches."""


class Detection(NamedTuple):
    """A box with its label.

    Attributes:
        label: Index of the label.
        box: [x1, y1, x2, y2] in pixels of the file.
        score: Score of both branches.
        alone: Probability of the label in the object branch.
        target: 1 if there is such an object, −1 if it is difficult or a crowd, or else 0.
        added: Whether the score is above the threshold only because of the context branch.
    """

    label: int
    box: list[float]
    score: float
    alone: float
    target: int
    added: bool


def detections(sample: DataSample, threshold: float) -> list[Detection]:
    """Return the detections that score ``threshold`` or more, with the best first.

    There is such an object if an object of the label overlaps the box with an IoU of at least 0.5. The object branch
    finds the label itself if its probability is not below the threshold. That favours the object branch, because the
    score is a product with the objectness.

    Args:
        sample: Prediction of a classifier with both branches: ``pred_instances`` with ``object_scores``, and
            ``gt_instances`` in pixels of the file, as test data have them.
        threshold: In [0, 1].

    Raises:
        ValueError: The sample has no objects, or the head lacks a branch.
    """
    if 'gt_instances' not in sample or 'ignored_instances' not in sample:
        raise ValueError(
            f'the sample {sample.get("img_id", "")} has no objects to compare with: set with_boxes=True of the test '
            'data, and mlic_mm.PackBoxes without LoadAnnotations'
        )
    found = sample.pred_instances
    if 'object_scores' not in found or 'context_scores' not in found:
        raise ValueError("the head lacks a branch, so there is nothing to compare: set branches=('object', 'context')")
    found = found[found.scores >= threshold]
    found = found[found.scores.argsort(descending=True, stable=True)]
    there, unclear = (_matches(found, sample.get(field)) for field in ('gt_instances', 'ignored_instances'))
    return [
        Detection(
            label=int(found.labels[i]),
            box=found.bboxes[i].tolist(),
            score=float(found.scores[i]),
            alone=float(found.object_scores[i]),
            target=1 if there[i] else -1 if unclear[i] else 0,
            added=bool(found.object_scores[i] < threshold),
        )
        for i in range(len(found))
    ]


def context_picture(
    found: Sequence[Detection], name: str, photo: np.ndarray, truth: Sequence[str], classes: Sequence[str]
) -> RegionPicture:
    """Draw detections. Those that only the context branch brings above the threshold are red.

    Args:
        found: Detections, the best first.
        name: Name of the image.
        photo: uint8 BGR ``(H, W, 3)``.
        truth: Labels of the image.
        classes: C names.
    """
    boxes = [
        NamedBox(f'{classes[one.label]} {one.score:.2f}', one.box, ADDED if one.added else FOUND)
        for one in sorted(found, key=lambda one: (one.added, one.score))  # red boxes on top
    ]
    added = [
        ScoredLabel(f'{classes[one.label]} ({one.alone:.2f})', one.score, one.target) for one in found if one.added
    ]
    both = [ScoredLabel(classes[one.label], one.score, one.target) for one in found if not one.added]
    columns = [
        ('context only (object)', added),
        (f'object branch too: {len(both)}', both[:MOST]),  # a crowd would make a long list
    ]
    return RegionPicture(
        name=name,
        photo=photo,
        truth=truth,
        regions=np.zeros((0, 4)),
        columns=[(heading, labels) for heading, labels in columns if labels],
        boxes=boxes,
    )


def _matches(found: InstanceData, objects: InstanceData) -> list[bool]:
    """Return for each detection whether it overlaps an object of its label."""
    same = found.labels[:, None] == objects.labels
    return (same & (box_iou(found.bboxes, objects.bboxes) >= IOU)).any(1).tolist()
