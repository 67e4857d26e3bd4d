"""Pack a sample with the objects of its image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import has_area, image_frame

from .box_motion import TOLERANCE, moved_with_image, projected
from .instances import instance_data

META_KEYS = (*PackInputs.DEFAULT_META_KEYS, 'img_id', 'instances')
"""Those of ``PackInputs``, and what mmdet's metrics read."""


@TRANSFORMS.register_module()
class PackBoxes(PackInputs):
    """mmpretrain's ``PackInputs`` that adds the objects of the image.

    ``gt_instances`` and, for difficult objects and crowds, ``ignored_instances`` are mmengine's ``InstanceData`` with
    ``bboxes`` float32 ``(G, 4)`` as [x1, y1, x2, y2] and ``labels`` int64 ``(G,)``; G may be 0. In training, after
    ``LoadAnnotations`` of mmcv or mmdet, boxes are in pixels of ``inputs``, clipped, and those without area left out.
    In testing, without ``LoadAnnotations``, they are those of the data set, in pixels of ``ori_shape``, wherever the
    image went, as mmdet's metrics read them. An image without either, such as one of the inferencer's, is packed alone.

    Data sets of mmdet have no labels of images. Theirs become ``gt_label``, those of the objects that are packed and
    not ignored, and with ``num_classes`` also ``gt_score``, float32 ``(C,)``: 1 present, 0 absent, −1 where all objects
    of a label are ignored. As in :class:`~mlic_mm.datasets.voc.VOCMultiLabel` with ``difficult='ignore'``; unlike in
    :class:`~mlic_mm.datasets.coco.COCOMultiLabel`, where crowds count as labels. The labels of our data sets are those
    of the whole image.

    mmcv's ``Resize``, ``RandomChoiceResize``, ``RandomFlip`` and ``CenterCrop``, and all of mmdet, move boxes with the
    image. What does not (``RandomResizedCrop``, ``ResizeEdge``, ``CropBox``, ``short_side`` of ``LoadImage``), and
    ``LoadAnnotations`` after a resizing, is noticed from boxes that are not where the image's size says. It is not
    noticed of an image without boxes, of an object cut off on all sides, of what leaves the image's size as it is
    (``Rotate``, ``Shear``, ``Translate``, a crop to the very size), or beside a transform of mmdet.

    Args:
        num_classes (int, optional): C, for data sets of mmdet. Defaults to None: ``gt_label`` only.
        meta_keys (Sequence[str]): Of ``PackInputs``; by default also ``img_id`` and ``instances``.
        **kwargs: Of ``PackInputs``: ``input_key``, ``algorithm_keys``.

    Raises:
        ValueError: ``num_classes`` is not positive. On a sample: its objects do not belong to the image as it is, flags
            are missing, or a label is not below ``num_classes``.
    """

    def __init__(self, num_classes: int | None = None, meta_keys: Sequence[str] = META_KEYS, **kwargs: Any) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)
        if num_classes is not None and num_classes < 1:
            raise ValueError(f'PackBoxes: num_classes={num_classes} must be at least 1')
        self.num_classes = num_classes

    def transform(self, results: dict) -> dict:
        """Pack the sample."""
        name = results.get('img_id', results.get('img_path', ''))
        if results.get('gt_bboxes') is not None:
            objects, ignored = _loaded(name, results)
        elif 'instances' in results:
            objects, ignored = (instance_data(results['instances'], flag) for flag in (False, True))
        else:  # an image alone; a model that learns from boxes asks for them
            return super().transform(results)
        if 'gt_label' not in results and 'gt_score' not in results:
            results = results | self._image_labels(name, objects.labels, ignored.labels)
        packed = super().transform(results)
        packed['data_samples'].set_field(objects, 'gt_instances')
        packed['data_samples'].set_field(ignored, 'ignored_instances')
        return packed

    def _image_labels(self, name: str, present: torch.Tensor, ignored: torch.Tensor) -> dict:
        """Return labels of the image from those of its objects."""
        labels: dict[str, Any] = dict(gt_label=present.unique().numpy())
        if self.num_classes is not None:
            both = torch.cat([present, ignored])
            if len(both) and not 0 <= int(both.min()) <= int(both.max()) < self.num_classes:
                raise ValueError(
                    f'PackBoxes: the sample {name!r} has labels {sorted(set(both.tolist()))}, but num_classes='
                    f'{self.num_classes}; set it to the number of classes of the data set'
                )
            score = torch.zeros(self.num_classes)
            score[ignored] = -1
            score[present] = 1
            labels['gt_score'] = score
        return labels

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, num_classes={self.num_classes})'


def _loaded(name: str, results: dict) -> tuple[InstanceData, InstanceData]:
    """Return the objects and the ignored ones from ``gt_bboxes``, in pixels of the image as it is."""
    shape = results['img'].shape[:2]
    height, width = shape
    structure = hasattr(results['gt_bboxes'], 'tensor')  # mmdet's HorizontalBoxes
    boxes: np.ndarray = np.asarray(
        results['gt_bboxes'].tensor if structure else results['gt_bboxes'], np.float32
    ).reshape(-1, 4)
    labels = np.asarray(results.get('gt_bboxes_labels', ()), np.int64)
    instances = results.get('instances')
    flags = results.get('gt_ignore_flags')
    if flags is None:
        flags = [bool(o.get('ignore_flag', 0)) for o in instances or ()]
    flags = np.asarray(flags, bool)
    if not len(boxes) == len(labels) == len(flags):
        raise ValueError(
            f'PackBoxes: the sample {name!r} has {len(boxes)} gt_bboxes, {len(labels)} gt_bboxes_labels and '
            f'{len(flags)} ignore flags; load them with LoadAnnotations, and where transforms drop boxes, with that '
            'of mmdet, which keeps gt_ignore_flags'
        )
    if instances and len(instances) == len(boxes) and 'ori_shape' in results:
        before = np.array([o['bbox'] for o in instances], np.float32)
        _check(name, results, before, boxes, structure)
    boxes = boxes.clip(0, np.array(image_frame(width, height), np.float32))
    kept = has_area(boxes)
    objects, ignored = (
        InstanceData(bboxes=torch.from_numpy(boxes[rows]), labels=torch.from_numpy(labels[rows]))
        for rows in (kept & ~flags, kept & flags)
    )
    return objects, ignored


def _check(name: str, results: dict, before: np.ndarray, boxes: np.ndarray, structure: bool) -> None:
    """Raise ValueError where boxes were left behind by the image."""
    ori_shape, shape = results['ori_shape'][:2], results['img'].shape[:2]
    matrix = results.get('homography_matrix')  # mmdet's transforms keep it
    if matrix is None and not structure:
        moved = moved_with_image(before, boxes, ori_shape, shape)
    elif not np.array_equal(before, boxes):
        moved = True  # mmdet crops and turns as well: only boxes that have stayed where they were can be judged
    elif matrix is None:
        moved = shape == ori_shape or 'pad_shape' in results
    else:
        moved = np.allclose(projected(before, matrix), before, atol=TOLERANCE)
    if not moved:
        raise ValueError(
            f'PackBoxes: the boxes of {name!r} are not where they belong in an image of {shape[1]} × {shape[0]} pixels '
            f'(the file has {ori_shape[1]} × {ori_shape[0]}): a transform moves the image without its gt_bboxes. '
            'In training, put LoadAnnotations right after LoadImage, without its short_side, and use Resize, '
            'RandomChoiceResize, RandomFlip or CenterCrop; in testing, leave LoadAnnotations out'
        )
