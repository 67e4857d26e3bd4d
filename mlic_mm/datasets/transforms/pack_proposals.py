"""Pack a sample with its proposals."""

from typing import Any

import numpy as np
import torch
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import has_area

from .instances import box_array, instance_data, moved_objects
from .load_proposals import CORNER, FRAME, PROPOSAL, recycle
from .load_teacher import CORNER_SIDE

TOLERANCE = 0.01
"""Pixels that float32 may lose on the way."""
OBJECT_FIELDS = ('gt_instances', 'ignored_instances')


@TRANSFORMS.register_module()
class PackProposals(PackInputs):
    """mmpretrain's ``PackInputs`` that also packs proposals and the outputs of a teacher.

    **Proposals** of :class:`~mlic_mm.datasets.transforms.LoadProposals`: the data sample gets ``proposals``, float32
    ``(R, 4)`` as [x1, y1, x2, y2] in pixels of ``inputs``, and ``proposal_scores``, float32 ``(R,)``. R does not
    change. If a crop left a proposal without area, the others replace it, in order. If it left no proposal at all, the
    whole image replaces them, with the best score.

    **Objects** of a data set with ``with_boxes=True``: the data sample gets ``gt_instances`` and ``ignored_instances``
    (difficult objects, crowds), mmengine's ``InstanceData`` with ``bboxes`` float32 ``(G, 4)`` and ``labels`` int64
    ``(G,)``. As in :class:`~mlic_mm.datasets.transforms.PackBoxes`, the boxes are in pixels of ``inputs`` if
    ``LoadAnnotations`` stands before ``LoadProposals`` or ``LoadTeacher``, as training needs it. They are clipped to
    the image, and boxes without area are left out. Without ``LoadAnnotations``, the boxes are in pixels of
    ``ori_shape``, however the image was transformed. mmdet's metrics need this.

    **Teacher** of :class:`~mlic_mm.datasets.transforms.LoadTeacher`: the data sample gets the outputs that the cache
    has, of ``teacher_logits`` float32 ``(C,)``, ``teacher_cls_logits`` and ``teacher_det_logits`` float16 ``(R, C)``,
    and ``teacher_maps``. Maps are float16 ``(D, h, w)`` by layer, flipped like the image. They are in half precision
    because workers then send them in half the time; the model computes in single precision. A crop is an error,
    because the teacher has not seen it.

    **Boxes must move with the image.** A transform that does not move ``gt_bboxes``, such as ``RandomResizedCrop``,
    ``ResizeEdge`` or ``CropBox``, is detected, because the box of the whole image no longer fits the image. A transform
    that keeps the size of the image (``Rotate``, ``Shear``, ``Translate``, a crop to the same size) is not detected, so
    do not use one.

    Args:
        **kwargs: Options of ``PackInputs``: ``meta_keys``, ``algorithm_keys`` …

    Raises:
        ValueError: In the pipeline: the sample has no proposals, or has lost some; they or the objects do not fit the
            image; or it has a teacher and was cropped.

    Examples:
        >>> from mlic_mm.datasets.transforms.load_proposals import add_rows
        >>> from mlic_mm.registry import TRANSFORMS
        >>> pack = TRANSFORMS.build(dict(type='mlic_mm.PackProposals'))
        >>> sample = dict(img=np.zeros((30, 40, 3), np.uint8), proposal_scores=np.array([0.75]))
        >>> add_rows(sample, np.array([[5, 5, 20, 20]], np.float32), PROPOSAL)  # LoadProposals does this
        >>> add_rows(sample, np.array([[0, 0, 40, 30]], np.float32), FRAME)
        >>> pack(sample)['data_samples'].proposals.tolist()
        [[5.0, 5.0, 20.0, 20.0]]
    """

    def transform(self, results: dict) -> dict:
        """Pack the sample."""
        sample = f'the sample {results.get("img_id", results.get("img_path", ""))!r}'
        teacher: CachedTeacher | None = results.get('teacher')
        if 'proposal_scores' not in results and teacher is None:
            raise ValueError(f'PackProposals: {sample} has no proposals; put mlic_mm.LoadProposals before it')
        packed = super().transform(results)
        objects, boxes, corner = _split(sample, results)
        fields: dict[str, Any] = {}
        if 'proposal_scores' in results:
            boxes, scores = _with_area(boxes, results)
            fields = dict(proposals=_tensor(boxes), proposal_scores=_tensor(scores.astype(np.float32)))
        if teacher is not None:
            axes = _flipped(sample, corner, results['img'].shape)
            fields['teacher_logits'] = _tensor(teacher.logits)
            if teacher.cls_logits is not None and teacher.det_logits is not None:
                fields['teacher_cls_logits'] = _tensor(teacher.cls_logits)
                fields['teacher_det_logits'] = _tensor(teacher.det_logits)
            if teacher.maps:
                maps = {layer: _tensor(np.flip(kept, axes).copy()) for layer, kept in teacher.maps.items()}
                fields['teacher_maps'] = maps
        if results['with_objects']:
            found = moved_objects(f'PackProposals: {sample}', results | objects)
            fields |= dict(zip(OBJECT_FIELDS, found, strict=True))
        elif 'instances' in results:
            found = instance_data(results['instances'], False), instance_data(results['instances'], True)
            fields |= dict(zip(OBJECT_FIELDS, found, strict=True))
        for field, value in fields.items():
            packed['data_samples'].set_field(value, field)
        return packed


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _split(sample: str, results: dict) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return what :func:`moved_objects` reads of the objects, the proposals ``(R, 4)``, and the corner ``(1, 4)``.

    Raises:
        ValueError: Rows are gone, or the image has not moved with them.
    """
    height, width = results['img'].shape[:2]
    rows, labels = box_array(results['gt_bboxes']).astype(np.float32), box_array(results['gt_bboxes_labels'])
    count = len(results.get('proposal_scores', ()))
    if len(rows) != len(labels) or FRAME not in labels or (labels == PROPOSAL).sum() != count:
        raise ValueError(
            f'PackProposals: {sample} has lost boxes that LoadProposals or LoadTeacher added: put LoadAnnotations '
            'before these, and use no transform that drops boxes, such as the crops of mmdet'
        )
    frame = rows[labels == FRAME][0]
    if np.abs(frame - [0, 0, width, height]).max() > TOLERANCE:
        taught = 'teacher' in results
        crop = ' The teacher saw the whole image, not crops of it.' if taught else ''
        moving = 'RandomChoiceResize or RandomFlip' if taught else 'RandomChoiceResize, RandomFlip or CenterCrop'
        raise ValueError(
            f'PackProposals: {sample} has proposals in an image with the corners {frame.tolist()}, but the image has '
            f'{width} × {height} pixels: a transform between LoadProposals or LoadTeacher and PackProposals moves the '
            f'image without its gt_bboxes.{crop} Use Resize, {moving} of mmcv, and leave CropBox and other crops out '
            'of the pipeline'
        )
    keys = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags')
    objects = {key: box_array(results[key])[labels >= 0] for key in keys if results.get(key) is not None}
    return objects, rows[labels == PROPOSAL], rows[labels == CORNER]


def _with_area(boxes: np.ndarray, results: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the proposals ``(R, 4)`` and scores ``(R,)``, where those with area replace those without."""
    height, width = results['img'].shape[:2]
    scores = results['proposal_scores']
    inside = has_area(boxes)
    if inside.all():
        return boxes, scores
    if not inside.any():
        return recycle(np.array([[0, 0, width, height]], np.float32), scores[:1], len(boxes))
    return recycle(boxes[inside], scores[inside], len(boxes))


def _flipped(sample: str, corner: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of maps ``(D, h, w)`` along which the image was flipped, as its corner ``(1, 4)`` tells."""
    side = np.array([shape[1], shape[0]]) * CORNER_SIDE
    far = np.array([shape[1], shape[0]]) - side
    axes = tuple(axis for axis, at in ((2, 0), (1, 1)) if (abs(corner[:, at] - far[at]) <= TOLERANCE).all())
    start = np.array([far[0] if 2 in axes else 0, far[1] if 1 in axes else 0])
    if len(corner) != 1 or np.abs(corner - np.concatenate([start, start + side])).max() > TOLERANCE:
        raise ValueError(
            f'PackProposals: {sample} is a crop, but the teacher saw the whole image, and what it would say about the '
            'crop is not known. Leave crops out of the pipeline, or set the teacher of mlic_mm.Distillation instead of '
            'LoadTeacher'
        )
    return axes
