"""Pack a sample with its proposals."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpretrain.datasets.transforms import PackInputs

from mlic_mm.registry import TRANSFORMS

from .load_proposals import recycle

TOLERANCE = 0.01
"""Pixels that float32 may lose on the way."""


@TRANSFORMS.register_module()
class PackProposals(PackInputs):
    """mmpretrain's ``PackInputs`` that adds what :class:`~mlic_mm.datasets.transforms.LoadProposals` has read.

    The data sample gets ``proposals``, float32 ``(R, 4)`` as [x1, y1, x2, y2] in pixels of ``inputs``, and
    ``proposal_scores``, float32 ``(R,)``; R stays what it was. Proposals that a crop left without area are replaced
    by the others in order, and where it left none, by the whole image with the best score.

    From a data set with ``with_boxes=True`` it also gets ``gt_instances`` and ``ignored_instances`` (difficult objects,
    crowds), mmengine's ``InstanceData`` with ``bboxes`` float32 ``(G, 4)`` and ``labels`` int64 ``(G,)``, as mmdet's
    metrics read them: in pixels of ``ori_shape``, wherever the image went.

    A transform that moves the image and not ``gt_bboxes``, such as ``RandomResizedCrop``, ``ResizeEdge`` or
    ``CropBox``, is noticed by the frame of the image having become another one than the image has. One that leaves the
    image's size as it is (``Rotate``, ``Shear``, ``Translate``, a crop to the very size) cannot be: leave such out.

    Args:
        **kwargs: Of ``PackInputs``: ``meta_keys``, ``algorithm_keys`` …

    Raises:
        ValueError: On a sample: it has no proposals, or they do not belong to the image as it is.
    """

    def transform(self, results: dict) -> dict:
        """Pack the sample."""
        name = results.get('img_id', results.get('img_path', ''))
        if 'proposal_scores' not in results or results.get('gt_bboxes') is None:
            raise ValueError(
                f'PackProposals: the sample {name!r} has no proposals; put mlic_mm.LoadProposals before it'
            )
        height, width = results['img'].shape[:2]
        whole = np.array([0, 0, width, height], np.float32)
        frame = np.asarray(results['gt_bboxes'], np.float32)
        boxes, frame, scores = frame[:-1], frame[-1], results['proposal_scores']
        if len(boxes) != len(scores) or np.abs(frame - whole).max() > TOLERANCE:
            raise ValueError(
                f'PackProposals: the proposals of {name!r} are in an image with the corners {frame.tolist()}, but the '
                f'image has {width} × {height} pixels: a transform between LoadProposals and PackProposals moves the '
                'image without its gt_bboxes. Use Resize, RandomChoiceResize, RandomFlip or CenterCrop of mmcv, and '
                'leave CropBox and other crops out of the pipeline'
            )
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        if not inside.any():
            boxes, scores = recycle(whole[None], scores[:1], len(boxes))
        elif not inside.all():
            boxes, scores = recycle(boxes[inside], scores[inside], len(boxes))
        packed = super().transform(results)
        sample = packed['data_samples']
        sample.set_field(torch.from_numpy(np.ascontiguousarray(boxes)), 'proposals')
        sample.set_field(torch.from_numpy(np.ascontiguousarray(scores, np.float32)), 'proposal_scores')
        if 'instances' in results:
            for field, flag in (('gt_instances', False), ('ignored_instances', True)):
                objects = [o for o in results['instances'] if bool(o.get('ignore_flag', 0)) == flag]
                sample.set_field(_instances(objects), field)
        return packed


def _instances(objects: list[dict]) -> InstanceData:
    """Return boxes ``(G, 4)`` and labels ``(G,)``, also of no objects."""
    return InstanceData(
        bboxes=torch.tensor([o['bbox'] for o in objects], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([o['bbox_label'] for o in objects], dtype=torch.int64),
    )
