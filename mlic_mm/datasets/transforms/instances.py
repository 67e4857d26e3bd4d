"""Objects of a sample in the form that mmdet reads."""

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData


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
