"""How often the best box of a class finds an object of the class."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor
from torchvision.ops import box_iou

from mlic_mm.registry import METRICS
from mlic_mm.utils.choices import check_range

from .collected_scores import name_sample

Found = tuple[np.ndarray, np.ndarray]
"""The classes of an image ``(K,)``, and for each the share of its best boxes that found an object, 0 to 1."""


@METRICS.register_module()
class CorLoc(BaseMetric):
    """Correct localisation in percent, the metric of weakly supervised detectors.

    Paper: "Localizing Objects While Learning Their Appearance" (Deselaers, Alexe and Ferrari, ECCV 2010). For each
    class, look at the images that have it. An image is a hit if the box of the class
    with the highest score, whatever that score is, has an IoU of at least 0.5 with an object of the class. An image
    whose class has no box is a miss. CorLoc is the mean share of hits over the classes that have images. If several
    best boxes have the same score, the share of them that is right counts, so that their order does not matter. CorLoc
    is usually stated for the images that the detector was trained on.

    A sample has ``pred_instances`` (``bboxes`` ``(K, 4)``, ``scores`` ``(K,)``, ``labels`` ``(K,)``), as
    :class:`WSDDNHead` with ``test_cfg=dict(boxes=True)`` or any detector of mmdet gives them, and ``gt_instances`` and
    ``ignored_instances`` (``bboxes`` ``(G, 4)``, ``labels`` ``(G,)``). All boxes are [x1, y1, x2, y2] in pixels of the
    original image. An area is width times height, because the right and lower edges of the data sets of mlic_mm are
    outside. VOC's development kit computes the same from its boxes, which include their last pixel.

    Args:
        iou_thr: The smallest IoU with which a box finds an object.
        count_ignored: Whether the objects of ``ignored_instances`` (VOC: difficult, COCO: crowds) are objects like
            others. By default they are not: an image that has no other object of a class does not count for it, and a
            box on them is wrong.
        per_class: Whether to add ``CorLoc_per_class``, lists of ``names``, ``CorLoc`` (NaN without images) and
            ``support``, the number of images.
        collect_device: How processes exchange results.
        prefix: Text before the names of the metrics, with a ``/`` between.

    Raises:
        ValueError: ``iou_thr`` is outside (0, 1]. In a test: a sample has no boxes, a score is NaN or a label out of
            range, or no image has an object. The message names the image.

    Examples:
        >>> from mlic_mm.registry import METRICS
        >>> metric = METRICS.build(dict(type='mlic_mm.CorLoc'))
        >>> found = dict(bboxes=[[0, 0, 10, 10], [5, 5, 9, 9]], scores=[0.25, 0.75], labels=[0, 0])
        >>> objects = dict(bboxes=[[5, 5, 10, 10]], labels=[0])
        >>> metric.process(None, [dict(pred_instances=found, gt_instances=objects)])
        >>> metric.evaluate(1)
        {'CorLoc': 100.0}
    """

    default_prefix = ''  # None would log a warning

    def __init__(
        self,
        iou_thr: float = 0.5,
        count_ignored: bool = False,
        per_class: bool = False,
        collect_device: Literal['cpu', 'gpu'] = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_range('iou_thr', iou_thr, above=0, at_most=1)
        self.iou_thr = iou_thr
        self.count_ignored = count_ignored
        self.per_class = per_class
        self.results: list[Found] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the best boxes of a batch with the objects."""
        classes = (self.dataset_meta or {}).get('classes')
        for position, sample in enumerate(data_samples):
            name = name_sample((sample.get('sample_idx'), sample.get('img_id'), sample.get('img_path')), position)
            if 'pred_instances' not in sample:
                raise ValueError(f'CorLoc: the model gives no boxes for {name}: set model.head.test_cfg.boxes=True')
            if 'gt_instances' not in sample:
                raise ValueError(
                    f'CorLoc: {name} has no gt_instances: set with_boxes=True in the data set and end the pipeline '
                    'with mlic_mm.PackProposals'
                )
            found = sample['pred_instances']
            boxes, scores, labels = (_to_cpu(found, key) for key in ('bboxes', 'scores', 'labels'))
            objects, object_labels = (_to_cpu(sample['gt_instances'], key) for key in ('bboxes', 'labels'))
            if self.count_ignored and 'ignored_instances' in sample:
                ignored = sample['ignored_instances']
                objects = torch.cat([objects, _to_cpu(ignored, 'bboxes')])
                object_labels = torch.cat([object_labels, _to_cpu(ignored, 'labels')])
            if scores.isnan().any():
                raise ValueError(f'CorLoc: box scores of {name} are NaN: did the training diverge?')
            highest = max((int(x.max()) for x in (labels, object_labels) if len(x)), default=-1)
            if classes is not None and highest >= len(classes):
                raise ValueError(
                    f'CorLoc: {name} has a box of class {highest}, the data set has {len(classes)}: set num_classes'
                )
            self.results.append(best_boxes(boxes, scores, labels, objects, object_labels, self.iou_thr))

    def compute_metrics(self, results: list[Found]) -> dict:
        """Return ``CorLoc`` and, if asked for, that of each class."""
        labels = np.concatenate([found[0] for found in results])
        if not len(labels):
            raise ValueError('CorLoc: no image has an object: use images with boxes (with_boxes=True)')
        names = (self.dataset_meta or {}).get('classes') or [str(i) for i in range(int(labels.max()) + 1)]
        support = np.bincount(labels, minlength=len(names))
        hits = np.bincount(labels, np.concatenate([found[1] for found in results]), minlength=len(names))
        shares = np.full(len(names), np.nan)
        np.divide(100 * hits, support, out=shares, where=support > 0)
        figures: dict[str, Any] = {'CorLoc': float(np.nanmean(shares))}
        if self.per_class:
            figures['CorLoc_per_class'] = {
                'names': list(names),
                'CorLoc': shares.tolist(),
                'support': support.tolist(),
            }
        return figures


def best_boxes(
    boxes: Tensor, scores: Tensor, labels: Tensor, objects: Tensor, object_labels: Tensor, iou_thr: float
) -> Found:
    """Return the classes of an image, and whether the best box of each finds an object of the class.

    Args:
        boxes: ``(K, 4)``.
        scores: ``(K,)``.
        labels: ``(K,)``.
        objects: ``(G, 4)``.
        object_labels: ``(G,)``.
        iou_thr: The smallest IoU with which a box finds an object.
    """
    present = object_labels.unique()
    if not len(boxes) or not len(present):
        return present.numpy(), np.zeros(len(present))
    covers = box_iou(boxes.double(), objects.double()) >= iou_thr  # (K, G)
    right = (covers & (labels[:, None] == object_labels)).any(1)  # (K,)
    mine = labels == present[:, None]  # (P, K)
    best = scores.double().where(mine, -torch.inf).amax(1, keepdim=True)
    best_of = mine & (scores == best)  # (P, K), more than one if scores are equal
    share = (best_of & right).sum(1) / best_of.sum(1).clamp(min=1)
    return present.numpy(), share.double().numpy()


def _to_cpu(instances: Any, key: str) -> Tensor:
    return torch.as_tensor(instances[key]).detach().cpu()
