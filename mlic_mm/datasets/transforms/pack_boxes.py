"""Pack a sample with the objects of its image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import has_area, image_frame
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.object_labels import labels_of_objects

from .box_motion import TOLERANCE, moved_with_image, projected
from .instances import instance_data

META_KEYS = (*PackInputs.DEFAULT_META_KEYS, 'img_id', 'instances')
"""The keys of ``PackInputs``, and what mmdet's metrics read."""


@TRANSFORMS.register_module()
class PackBoxes(PackInputs):
    """mmpretrain's ``PackInputs`` that also packs the objects of the image.

    ``gt_instances``, and ``ignored_instances`` for difficult objects and crowds, are mmengine's ``InstanceData`` with
    ``bboxes`` float32 ``(G, 4)`` as [x1, y1, x2, y2] and ``labels`` int64 ``(G,)``. G may be 0.

    * In training, after ``LoadAnnotations`` of mmcv or mmdet, the boxes are in pixels of ``inputs`` and clipped to it.
      Boxes without area are left out.
    * In testing, without ``LoadAnnotations``, the boxes are those of the data set, in pixels of ``ori_shape``, however
      the image was transformed. mmdet's metrics need this.
    * If the sample has no objects, as in the inferencer, only the image is packed.

    **Labels of the image.** Data sets of mmdet have none. For them, ``gt_label`` holds the labels of the objects that
    are packed and not ignored. With ``num_classes`` there is also ``gt_score``, float32 ``(C,)``: 1 present, 0 absent,
    −1 if all objects of a label are ignored. :class:`~mlic_mm.datasets.voc.VOCMultiLabel` with ``difficult='ignore'``
    does the same, while in :class:`~mlic_mm.datasets.coco.COCOMultiLabel` crowds count as labels. The labels of the
    data sets of mlic_mm are those of the whole image.

    **Boxes must move with the image.** mmcv's ``Resize``, ``RandomChoiceResize``, ``RandomFlip`` and ``CenterCrop``,
    and all transforms of mmdet, move them. Others do not (``RandomResizedCrop``, ``ResizeEdge``, ``CropBox``,
    ``short_side`` of ``LoadImage``). ``LoadAnnotations`` after a resizing transform is wrong too. The class detects
    this if the boxes do not fit the change of the image's size. It cannot detect it for an image without boxes, for an
    object that is cut off on all sides, for a transform that keeps the size of the image (``Rotate``, ``Shear``,
    ``Translate``, a crop to the same size), or if the pipeline also has a transform of mmdet.

    Args:
        num_classes: C, for data sets of mmdet. Defaults to None: ``gt_label`` only.
        meta_keys: See ``PackInputs``. By default, ``img_id`` and ``instances`` are among them.
        **kwargs: Other options of ``PackInputs``: ``input_key``, ``algorithm_keys``.

    Raises:
        ValueError: ``num_classes`` is not positive. In the pipeline: the objects do not fit the image, flags are
            missing, or a label is not below ``num_classes``.

    Examples:
        >>> from mlic_mm.registry import TRANSFORMS
        >>> pack = TRANSFORMS.build(dict(type='mlic_mm.PackBoxes', num_classes=3))
        >>> objects = [dict(bbox=[5, 5, 20, 20], bbox_label=1, ignore_flag=0)]
        >>> image = np.zeros((30, 40, 3), np.uint8)
        >>> sample = pack(dict(img=image, ori_shape=(30, 40), img_id='a', instances=objects))['data_samples']
        >>> sample.gt_score.tolist(), sample.gt_instances.bboxes.tolist()
        ([0.0, 1.0, 0.0], [[5.0, 5.0, 20.0, 20.0]])
    """

    def __init__(self, num_classes: int | None = None, meta_keys: Sequence[str] = META_KEYS, **kwargs: Any) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)
        if num_classes is not None:
            check_range('num_classes', num_classes, at_least=1, whole=True)
        self.num_classes = num_classes

    def transform(self, results: dict) -> dict:
        """Pack the sample."""
        name = results.get('img_id', results.get('img_path', ''))
        if results.get('gt_bboxes') is not None:
            objects, ignored = _loaded(name, results)
        elif 'instances' in results:
            objects, ignored = (instance_data(results['instances'], flag) for flag in (False, True))
        else:  # an image alone: a model that learns from boxes asks for them
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
            labels['gt_score'] = labels_of_objects(
                present, ignored, self.num_classes, f'PackBoxes: the sample {name!r}'
            )
        return labels

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, num_classes={self.num_classes})'


def _loaded(name: str, results: dict) -> tuple[InstanceData, InstanceData]:
    """Return the objects and the ignored objects of ``gt_bboxes``, in pixels of the image as it is now."""
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
            f'PackBoxes: the boxes of {name!r} are not where they belong in an image of {shape[1]} × {shape[0]} pixels '
            f'(the file has {ori_shape[1]} × {ori_shape[0]}): a transform moves the image without its gt_bboxes. '
            'In training, put LoadAnnotations right after LoadImage, without its short_side, and use Resize, '
            'RandomChoiceResize, RandomFlip or CenterCrop; in testing, leave LoadAnnotations out'
        )
