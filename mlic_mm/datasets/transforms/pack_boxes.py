"""Pack a sample with the objects of its image."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.object_labels import labels_of_objects

from .instances import instance_data, moved_objects

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
        >>> import numpy as np
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
        if 'with_objects' in results:
            raise ValueError(
                f'PackBoxes: the sample {name!r} has proposals or a teacher; pack it with mlic_mm.PackProposals'
            )
        if results.get('gt_bboxes') is not None:
            objects, ignored = moved_objects(f'PackBoxes: the sample {name!r}', results)
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
