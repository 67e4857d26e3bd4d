"""Labels of images as an auxiliary loss of mmdet's detectors."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS
from mlic_mm.utils.object_labels import labels_of_objects


@MODELS.register_module(name='LabelledDetector')
def labelled_detector(
    detector: Mapping[str, Any], head: Mapping[str, Any], data_preprocessor: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a detector of mmdet that also learns the labels of its images.

    In training, ``head`` classifies each image from the stages of the detector's backbone. Its loss is added to those
    of the detector, as ``loss_labels``. Set its weight with ``loss_weight`` of the loss. The labels of an image are
    those of its objects: 1 present, 0 absent, −1 (left out of the loss) if all objects of a label are ignored.

    In testing, it is the detector: the same forward, the same predictions, no cost.

    The result is an instance of the detector's class with one module more, ``label_head``. A class around the detector
    would change the keys of checkpoints and the names that mmdet's hooks and optimizers know. So a published checkpoint
    of the detector can be loaded, and mmdet can test a checkpoint of this model with the detector's own config.

    Args:
        detector: The ``model`` of a config of mmdet; names in it need no prefix.
        head: A multi-label head that takes feature maps, such as :class:`~mlic_mm.models.heads.DeepLIFTHead` or
            ``mmpretrain.CSRAClsHead``. Its classes have the same order as the detector's.
        data_preprocessor: For detectors whose config has none; mmengine's runner gives the one of the whole config.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        ValueError: The detector has no backbone of its own. In training: a label is not below ``num_classes`` of the
            head.

    Examples:
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.LabelledDetector',
        ...         detector=dict(
        ...             type='FCOS',
        ...             backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(3,)),
        ...             neck=None,
        ...             bbox_head=dict(type='FCOSHead', num_classes=3, in_channels=64, feat_channels=32, strides=(32,)),
        ...         ),
        ...         head=dict(
        ...             type='mmpretrain.CSRAClsHead',
        ...             num_classes=3,
        ...             in_channels=64,
        ...             num_heads=1,
        ...             lam=0.1,
        ...             loss=dict(type='mlic_mm.MultiLabelBCELoss', loss_weight=0.1),
        ...         ),
        ...     )
        ... )  # needs mmdet
        >>> type(model).__name__, [name for name, _ in model.named_children()]
        ('FCOS', ['data_preprocessor', 'backbone', 'bbox_head', 'label_head'])
    """
    register_mmdet('LabelledDetector')
    config = ConfigDict(detector)
    if data_preprocessor is not None:
        config.setdefault('data_preprocessor', data_preprocessor)
    # Each in the scope of its package, so that default types are found and not mistaken for others of the same name.
    with DefaultScope.overwrite_default_scope('mmdet'):
        model: Any = MODELS.build(config)
    if not isinstance(getattr(model, 'backbone', None), nn.Module):
        raise ValueError(f'detector={type(model).__name__} has no backbone: name a detector that has one of its own')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model.label_head = MODELS.build(ConfigDict(head))
    leave_out_unknown(model.label_head)
    model.loss = functools.partial(_loss, model, head['num_classes'])  # not every head keeps the number
    return model


def _loss(model: Any, num_classes: int, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Any]:
    """Return the losses of the detector, and those of the label head by the names ``loss_labels…``."""
    samples = _image_samples(data_samples, num_classes)
    stages: list[tuple[Tensor, ...]] = []
    handle = model.backbone.register_forward_hook(lambda module, args, output: stages.append(output))
    try:
        losses = type(model).loss(model, inputs, data_samples)
    finally:
        handle.remove()
    own = model.label_head.loss(stages[0], samples)
    return losses | {name.replace('loss', 'loss_labels', 1): value for name, value in own.items()}


def _image_samples(data_samples: Sequence[BaseDataElement], num_classes: int) -> list[DataSample]:
    """Return samples with the labels of the images."""
    made = []
    for sample in data_samples:
        present = sample.gt_instances.labels
        ignored = sample.ignored_instances.labels if 'ignored_instances' in sample else present[:0]
        name = f'LabelledDetector: the image {sample.get("img_path", "")}'
        made.append(DataSample().set_gt_score(labels_of_objects(present, ignored, num_classes, name)))
    return made
