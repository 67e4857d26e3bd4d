"""A frozen model that teaches a student."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.config_files.config_file import read_config
from mlic_mm.models.layers import select_regions
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.models.utils.layer_maps import LayerMaps
from mlic_mm.utils.choices import check_range

from .teaching import Teaching, teaching_of
from .trained_classifier import Labels, build_classifier, common_labels


class Teacher:
    """A trained model as teacher: always in evaluation mode, without gradients and dropout.

    It is no module, so the student's checkpoints, optimiser, ``train()`` and processes do not know it. Its
    outputs depend on the kind of model:

    - a classifier with :class:`WSDDNHead`: image logits, both logit matrices, and the proposals of the samples, scored
      by :math:`s'`;
    - a classifier with :class:`RegionProposals`: image logits, and its own proposals, scored by their objectness;
    - any other classifier, :class:`EnsembleClassifier` and Deep-LIFT too: image logits, and the proposals of the
      samples, if they have some, with their prior scores;
    - a model with a method ``teach(raw, samples)``, see :class:`Teaching`, such as :class:`DetectorTeacher`: what this
      method returns.

    Regions go through NMS by score; the best ``num_regions`` are kept (KD from WSD, section 3.3).

    Args:
        config: Config that trained the model, or its file.
        checkpoint: Weights of the model; None for models that bring their own: :class:`EnsembleClassifier`, a detector.
        model: The model config, or a built model with its weights, in place of ``config``.
        layers: Modules whose maps are wanted, such as ``'backbone.layer3'``; ``''`` is the backbone.
        iou_threshold: IoU of the NMS, in (0, 1].
        num_regions: How many regions are kept. Fewer are repeated.

    Raises:
        ValueError: Neither or both of ``config`` and ``model`` are given; a checkpoint is missing; an option is out of
            range; the model has no such layer.
        FileNotFoundError: There is no such config or checkpoint.

    Example:
        >>> from mmpretrain.models import ImageClassifier
        >>> model = ImageClassifier(
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ... )
        >>> outputs = Teacher(model=model, layers=['backbone.layer3'])(torch.rand(1, 3, 64, 64), [DataSample()])
        >>> outputs.logits.shape, outputs.maps['backbone.layer3'].shape
        (torch.Size([1, 3]), torch.Size([1, 32, 4, 4]))
    """

    def __init__(
        self,
        config: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        model: nn.Module | Mapping[str, Any] | None = None,
        layers: Iterable[str] = (),
        iou_threshold: float = 0.4,
        num_regions: int = 100,
    ) -> None:
        if (config is None) == (model is None):
            raise ValueError('a teacher needs either config and checkpoint, or a built model')
        check_range('iou_threshold', iou_threshold, above=0, at_most=1)
        check_range('num_regions', num_regions, at_least=1, whole=True)
        labels: Labels = {}
        if not isinstance(model, nn.Module):
            cfg = read_config(config) if isinstance(config, str | Path) else config or dict(model=model)
            model, labels = build_classifier(cfg, checkpoint)
            if checkpoint is None and not isinstance(model, Teaching):
                name = getattr(cfg, 'filename', None) or type(model).__name__
                raise ValueError(f'{name}: no checkpoint given, so the teacher would have nothing to teach')
        elif checkpoint is not None:
            raise ValueError(f'checkpoint={checkpoint!r} of a teacher must be left out: a built model has its weights')
        self.labels = labels
        self.classes = common_labels(labels) or getattr(model, 'classes', None)
        assert isinstance(model, nn.Module)
        self.model: Any = model.eval().requires_grad_(False)
        self._teaching = teaching_of(self.model)
        self.iou_threshold = iou_threshold
        self.num_regions = num_regions
        self._layers = LayerMaps(self.model, layers)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the modules whose maps are wanted."""
        return self._layers.layers

    @torch.no_grad()
    def __call__(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        """Return the teacher's outputs for a batch.

        Args:
            raw: ``(N, 3, H, W)``, 0 to 255, BGR. The teacher normalises as it was trained.
            samples: With ``proposals`` in pixels of ``raw`` if the teacher looks at regions.
        """
        self._follow(raw.device)
        outputs, maps = self._layers.record(self._teaching.teach, raw, samples)
        outputs.maps = {**outputs.maps, **maps}
        regions = list(zip(outputs.boxes, outputs.box_scores, strict=True))
        kept = [select_regions(box, score, self.iou_threshold, self.num_regions) for box, score in regions]
        outputs.boxes = [box[index] for (box, _), index in zip(regions, kept, strict=True)]
        outputs.box_scores = [score[index] for (_, score), index in zip(regions, kept, strict=True)]
        return outputs

    def _follow(self, device: torch.device) -> None:
        """Move to the device of the images, which a copy of the student may have left."""
        weight = next(self.model.parameters(), None)
        places = {getattr(getattr(self.model, 'data_preprocessor', None), 'device', device)}
        if weight is not None:
            places.add(weight.device)
        if places != {device}:
            self.model.to(device)

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self  # copies of a student, as of EMA hooks, share the teacher
