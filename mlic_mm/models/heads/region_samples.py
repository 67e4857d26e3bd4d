"""Read proposals and objects from data samples, for heads that look at regions."""

import math
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.utils.boxes import has_area, image_frame

__all__ = ['objects_of', 'original_scale', 'proposals_of', 'refuse_export']


def proposals_of(
    data_samples: Sequence[DataSample] | None, device: torch.device, user: str
) -> tuple[list[Tensor], list[Tensor]]:
    """Return boxes ``(R_n, 4)`` in pixels of the input, and scores ``(R_n,)``, of each sample.

    Args:
        data_samples: With ``proposals`` and ``proposal_scores``.
        device: Device of the result.
        user: Name of the head, for messages.

    Raises:
        ValueError: There are no samples, or one has no proposals.
    """
    cure = (
        'load them in the pipeline with mlic_mm.LoadProposals and mlic_mm.PackProposals, or let '
        'an objective mlic_mm.RegionProposals generate them'
    )
    if data_samples is None:
        raise ValueError(f'{user} looks at regions, but was called without data samples: {cure}')
    for i, sample in enumerate(data_samples):
        if 'proposals' not in sample or 'proposal_scores' not in sample or not len(sample.proposals):
            raise ValueError(
                f'{user}: sample {sample.get("img_id", sample.get("img_path", i))} has no proposals: {cure}'
            )
    return (
        [sample.proposals.to(device) for sample in data_samples],
        [sample.proposal_scores.to(device) for sample in data_samples],
    )


@torch.compiler.assume_constant_result
def _in_onnx_export() -> bool:
    # The compiler, which the exporter tries as well, takes torch's own function for False.
    return torch.onnx.is_in_onnx_export()


def refuse_export(user: str, onnx_only: bool = False) -> None:
    """Stop exporters that would fail with an obscure message, or write a model with other scores.

    Args:
        user: Name of the model or head, for the message.
        onnx_only: Refuse ONNX alone, because ``torch.export`` and ``torch.jit.trace`` are correct.

    Raises:
        ValueError: An exporter is running.
    """
    if onnx_only and _in_onnx_export():
        raise ValueError(
            f'{user} cannot be exported to ONNX, which has no RoI pooling that agrees with torchvision: use '
            'torch.export, see docs/export.md'
        )
    exporting = getattr(torch.compiler, 'is_exporting', bool)()  # torch 2.7
    if not onnx_only and (exporting or torch.jit.is_tracing()):
        raise ValueError(
            f'{user} cannot be exported: the image decides which boxes it keeps and from which map it pools them, and '
            'a trace would keep the boxes and maps of the example. Export its maps alone, see docs/export.md'
        )


def original_scale(sample: DataSample, boxes: Tensor, user: str) -> Tensor:
    """Return the factors ``(4,)`` from pixels of the input to pixels of ``ori_shape``, the image's file.

    Args:
        sample: With ``ori_shape`` and ``img_shape``.
        boxes: Give the type and the device of the result.
        user: Name of the head, for messages.

    Raises:
        ValueError: The sample lacks one of the shapes.
    """
    for key in ('ori_shape', 'img_shape'):
        if key not in sample.metainfo_keys():
            raise ValueError(f'{user}: samples have no {key!r}, which boxes need: add it to meta_keys of the packing')
    height, width = (
        a / b for a, b in zip(sample.metainfo['ori_shape'][:2], sample.metainfo['img_shape'][:2], strict=True)
    )
    return boxes.new_tensor(image_frame(width, height))


def objects_of(sample: DataSample, user: str, device: torch.device | None = None) -> tuple[InstanceData, InstanceData]:
    """Return the objects of a sample and the objects to ignore, ``bboxes`` ``(G, 4)`` and ``labels`` ``(G,)``.

    Objects whose box has no area are left out, because no proposal matches them.

    Args:
        sample: With ``gt_instances`` in pixels of the input and, possibly, ``ignored_instances``. Boxes are tensors or
            mmdet's boxes.
        user: Name of the class that learns from them, for messages.
        device: Device of the result, because mmpretrain's data preprocessor moves only labels; None leaves them.

    Raises:
        ValueError: The sample has no ``gt_instances``, or they lie outside of its image.
    """
    if 'gt_instances' not in sample:
        raise ValueError(
            f'{user}: sample {sample.get("img_id", sample.get("img_path", ""))} has no gt_instances: in training, set '
            'with_boxes=True of the data set, LoadAnnotations before Resize, and mlic_mm.PackBoxes at the end'
        )
    height, width = sample.metainfo.get('img_shape', (math.inf, math.inf))[:2]
    found: list[InstanceData] = []
    for field in ('gt_instances', 'ignored_instances'):
        instances = sample.get(field)
        if instances is None:
            instances = found[0][:0]
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        if len(boxes) and (boxes[:, 2].max() > width + 1 or boxes[:, 3].max() > height + 1):
            raise ValueError(
                f'{user}: sample {sample.get("img_id", sample.get("img_path", ""))} has objects outside of its image '
                f'of {width} × {height} pixels, so their boxes are not in pixels of the input: in training, put '
                'LoadAnnotations before Resize'
            )
        solid = has_area(boxes)
        found.append(InstanceData(bboxes=boxes[solid].to(device), labels=instances.labels[solid].to(device)))
    return found[0], found[1]
