"""Pack a sample with its proposals."""

import numpy as np
import torch
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import has_area

from .instances import instance_data
from .load_proposals import recycle
from .load_teacher import CORNER

TOLERANCE = 0.01
"""Pixels that float32 may lose on the way."""


@TRANSFORMS.register_module()
class PackProposals(PackInputs):
    """mmpretrain's ``PackInputs`` that also packs proposals and the outputs of a teacher.

    **Proposals** of :class:`~mlic_mm.datasets.transforms.LoadProposals`: the data sample gets ``proposals``, float32
    ``(R, 4)`` as [x1, y1, x2, y2] in pixels of ``inputs``, and ``proposal_scores``, float32 ``(R,)``. R does not
    change. If a crop left a proposal without area, the others replace it, in order. If it left no proposal at all, the
    whole image replaces them, with the best score.

    **Objects** of a data set with ``with_boxes=True``: the data sample gets ``gt_instances`` and ``ignored_instances``
    (difficult objects, crowds), mmengine's ``InstanceData`` with ``bboxes`` float32 ``(G, 4)`` and ``labels`` int64
    ``(G,)``. The boxes are in pixels of ``ori_shape``, however the image was transformed. mmdet's metrics need this.

    **Teacher** of :class:`~mlic_mm.datasets.transforms.LoadTeacher`: the data sample gets the outputs that the cache
    has, of ``teacher_logits`` float32 ``(C,)``, ``teacher_cls_logits`` and ``teacher_det_logits`` float16 ``(R, C)``,
    and ``teacher_maps``. Maps are float16 ``(D, h, w)`` by layer, flipped like the image. They are in half precision
    because workers then send them in half the time; the model computes in single precision. Maps cannot be cropped, so
    a crop is an error.

    **Boxes must move with the image.** A transform that does not move ``gt_bboxes``, such as ``RandomResizedCrop``,
    ``ResizeEdge`` or ``CropBox``, is detected, because the box of the whole image no longer fits the image. A transform
    that keeps the size of the image (``Rotate``, ``Shear``, ``Translate``, a crop to the same size) is not detected, so
    do not use one.

    Args:
        **kwargs: Options of ``PackInputs``: ``meta_keys``, ``algorithm_keys`` …

    Raises:
        ValueError: In the pipeline: the sample has no proposals, they do not fit the image, or it has maps and was
            cropped.

    Examples:
        >>> from mlic_mm.registry import TRANSFORMS
        >>> pack = TRANSFORMS.build(dict(type='mlic_mm.PackProposals'))
        >>> boxes = np.array([[5, 5, 20, 20], [0, 0, 40, 30]], np.float32)  # a proposal, and the frame of the image
        >>> sample = dict(img=np.zeros((30, 40, 3), np.uint8), gt_bboxes=boxes, proposal_scores=np.array([0.75]))
        >>> pack(sample)['data_samples'].proposals.tolist()
        [[5.0, 5.0, 20.0, 20.0]]
    """

    def transform(self, results: dict) -> dict:
        """Pack the sample."""
        name = results.get('img_id', results.get('img_path', ''))
        teacher: CachedTeacher | None = results.get('teacher')
        if results.get('gt_bboxes') is None and teacher is None:
            raise ValueError(
                f'PackProposals: the sample {name!r} has no proposals; put mlic_mm.LoadProposals before it'
            )
        packed = super().transform(results)
        sample = packed['data_samples']
        corner = None
        if results.get('gt_bboxes') is not None:
            boxes, corner, scores = _moved(name, results)
            sample.set_field(torch.from_numpy(np.ascontiguousarray(boxes)), 'proposals')
            sample.set_field(torch.from_numpy(np.ascontiguousarray(scores, np.float32)), 'proposal_scores')
        if teacher is not None:
            sample.set_field(torch.from_numpy(teacher.logits), 'teacher_logits')
            if teacher.cls_logits is not None and teacher.det_logits is not None:
                sample.set_field(torch.from_numpy(teacher.cls_logits), 'teacher_cls_logits')
                sample.set_field(torch.from_numpy(teacher.det_logits), 'teacher_det_logits')
            if teacher.maps and corner is not None:
                axes = _flipped(name, corner, results['img'].shape)
                maps = {layer: torch.from_numpy(np.flip(kept, axes).copy()) for layer, kept in teacher.maps.items()}
                sample.set_field(maps, 'teacher_maps')
        if 'instances' in results:
            for field, flag in (('gt_instances', False), ('ignored_instances', True)):
                sample.set_field(instance_data(results['instances'], flag), field)
        return packed


def _moved(name: str, results: dict) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Return the boxes ``(R, 4)`` now, the corner now (with maps), and the scores ``(R,)``."""
    height, width = results['img'].shape[:2]
    whole = np.array([0, 0, width, height], np.float32)
    frame = np.asarray(results['gt_bboxes'], np.float32)
    boxes, frame, scores, corner = frame[:-1], frame[-1], results['proposal_scores'], None
    if 'teacher' in results and results['teacher'].maps:
        boxes, corner = boxes[:-1], boxes[-1]
    if len(boxes) != len(scores) or np.abs(frame - whole).max() > TOLERANCE:
        raise ValueError(
            f'PackProposals: the proposals of {name!r} are in an image with the corners {frame.tolist()}, but the '
            f'image has {width} × {height} pixels: a transform between LoadProposals and PackProposals moves the '
            'image without its gt_bboxes. Use Resize, RandomChoiceResize, RandomFlip or CenterCrop of mmcv, and '
            'leave CropBox and other crops out of the pipeline'
        )
    inside = has_area(boxes)
    if not inside.any():
        boxes, scores = recycle(whole[None], scores[:1], len(boxes))
    elif not inside.all():
        boxes, scores = recycle(boxes[inside], scores[inside], len(boxes))
    return boxes, corner, scores


def _flipped(name: str, corner: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of maps ``(D, h, w)`` along which the image was flipped, as its corner tells."""
    side = np.array([shape[1], shape[0]]) * CORNER
    far = np.array([shape[1], shape[0]]) - side
    axes = tuple(axis for axis, at in ((2, 0), (1, 1)) if abs(corner[at] - far[at]) <= TOLERANCE)
    start = np.array([far[0] if 2 in axes else 0, far[1] if 1 in axes else 0])
    if np.abs(corner - np.concatenate([start, start + side])).max() > TOLERANCE:
        raise ValueError(
            f'PackProposals: the teacher saw the whole image {name!r}, of which a crop is left: the cached maps cannot '
            'be cut to fit. Leave crops out of the pipeline, or write a cache without --layers'
        )
    return axes
