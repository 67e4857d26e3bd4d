"""Objects of a sample in the form that mmdet reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from mlic_mm.utils.boxes import has_area, image_frame

from .box_motion import TOLERANCE, moved_with_image, projected


def instance_data(objects: Sequence[dict], ignored: bool) -> InstanceData:
    """Return the ``instances`` of a data set that are not ignored, or those that are ``ignored``.

    Returns:
        ``bboxes`` float32 ``(G, 4)`` in pixels of ``ori_shape`` and ``labels`` int64 ``(G,)``. G may be 0.
    """
    objects = [o for o in objects if bool(o.get('ignore_flag', 0)) == ignored]
    return InstanceData(
        bboxes=torch.tensor([o['bbox'] for o in objects], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([o['bbox_label'] for o in objects], dtype=torch.int64),
    )


def box_array(boxes: Any) -> np.ndarray:
    """Return ``gt_bboxes`` as an array. mmdet's ``HorizontalBoxes`` hold a tensor."""
    return np.asarray(getattr(boxes, 'tensor', boxes))


def moved_objects(sample: str, results: dict) -> tuple[InstanceData, InstanceData]:
    """Return the objects and the ignored objects of ``gt_bboxes``, in pixels of the image as it is now.

    Boxes are clipped to the image. Boxes without area are left out.

    Args:
        sample: Names the transform and the sample in messages, such as ``"PackBoxes: the sample 'a'"``.
        results: With ``gt_bboxes``, ``gt_bboxes_labels`` and, if the data set has them, ``instances``.

    Raises:
        ValueError: The numbers of boxes, labels and flags differ, or a transform of the image did not move the boxes.
    """
    shape = results['img'].shape[:2]
    height, width = shape
    structure = hasattr(results['gt_bboxes'], 'tensor')  # mmdet's HorizontalBoxes
    boxes: np.ndarray = box_array(results['gt_bboxes']).astype(np.float32).reshape(-1, 4)
    labels = np.asarray(results.get('gt_bboxes_labels', ()), np.int64)
    instances = results.get('instances')
    flags = results.get('gt_ignore_flags')
    if flags is None:
        flags = [bool(o.get('ignore_flag', 0)) for o in instances or ()]
    flags = np.asarray(flags, bool)
    if not len(boxes) == len(labels) == len(flags):
        raise ValueError(
            f'{sample} has {len(boxes)} gt_bboxes, {len(labels)} gt_bboxes_labels and '
            f'{len(flags)} ignore flags; load them with LoadAnnotations, and where transforms drop boxes, with that '
            'of mmdet, which keeps gt_ignore_flags'
        )
    if instances and len(instances) == len(boxes) and 'ori_shape' in results:
        before = np.array([o['bbox'] for o in instances], np.float32)
        _check(sample, results, before, boxes, structure)
    boxes = boxes.clip(0, np.array(image_frame(width, height), np.float32))
    kept = has_area(boxes)
    objects, ignored = (
        InstanceData(bboxes=torch.from_numpy(boxes[rows]), labels=torch.from_numpy(labels[rows]))
        for rows in (kept & ~flags, kept & flags)
    )
    return objects, ignored


def _check(sample: str, results: dict, before: np.ndarray, boxes: np.ndarray, structure: bool) -> None:
    """Refuse boxes that a transform of the image did not move.

    Raises:
        ValueError: Names the sample.
    """
    ori_shape, shape = results['ori_shape'][:2], results['img'].shape[:2]
    matrix = results.get('homography_matrix')  # mmdet's transforms keep it
    if matrix is None and not structure:
        moved = moved_with_image(before, boxes, ori_shape, shape)
    elif not np.array_equal(before, boxes):
        moved = True  # mmdet crops and turns as well: only boxes that did not move can be judged
    elif matrix is None:
        moved = shape == ori_shape or 'pad_shape' in results
    else:
        moved = np.allclose(projected(before, matrix), before, atol=TOLERANCE)
    if not moved:
        raise ValueError(
            f'{sample} has boxes that are not where they belong in an image of {shape[1]} × {shape[0]} pixels (the '
            f'file has {ori_shape[1]} × {ori_shape[0]}): a transform moves the image without its gt_bboxes. '
            'In training, put LoadAnnotations right after LoadImage, without its short_side, and use Resize, '
            'RandomChoiceResize, RandomFlip or CenterCrop; in testing, leave LoadAnnotations out'
        )
