"""What training may minimise besides the loss of the labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.view_transforms import ViewTransform

Feats = tuple[Tensor, ...]


@dataclass
class ViewOutputs:
    """What the model gives for one view of the images.

    Attributes:
        feature: The last feature map, ``(N, D, h, w)``.
        logits: ``(N, C)``; None if nothing needs them.
        maps: The maps of the labels, ``(N, C, h, w)``; None if nothing needs them.
    """

    feature: Tensor
    logits: Tensor | None = None
    maps: Tensor | None = None

    def chunk(self, count: int) -> list['ViewOutputs']:
        """Return the outputs of ``count`` views, which went through the model as one batch."""
        fields = [
            [None] * count if part is None else part.chunk(count) for part in (self.feature, self.logits, self.maps)
        ]
        return [ViewOutputs(*parts) for parts in zip(*fields, strict=True)]


@dataclass
class Step:
    """What objectives get to see after the forward pass.

    Attributes:
        inputs: The images as they were loaded and normalised, after batch augments, ``(N, 3, H, W)``.
        samples: Their samples as they were loaded, with boxes in pixels of ``inputs``.
        proposed: The same, with the proposals of the model itself in place of loaded ones if it proposes regions.
        size: ``(H, W)`` of the images that the model saw, which is smaller with a ``student_size``.
        data_preprocessor: Knows how ``inputs`` were normalised.
        image: Outputs for the images.
        views: Outputs for their views, by the name of the view.
        layers: Maps of the layers that objectives asked for, of the images, by the name of the layer.
    """

    inputs: Tensor
    samples: list[DataSample]
    proposed: list[DataSample]
    size: tuple[int, int]
    data_preprocessor: torch.nn.Module
    image: ViewOutputs
    views: dict[str, ViewOutputs]
    layers: dict[str, Tensor]


class Objective(BaseModule, ABC):
    """A part of :class:`~mlic_mm.models.MultiLabelClassifier` that adds losses to its training.

    Before the forward pass, the classifier asks its objectives for their needs, which are the attributes below. One
    forward pass for each image size serves all objectives. After it, each objective computes its losses. An objective
    of your own derives from this class, registers itself in :data:`mlic_mm.registry.MODELS` and implements
    :meth:`compute_losses`.

    Checkpoints have the weights of an objective under ``objectives.<name>``.

    Attributes:
        views: Views of the images that the model must look at. Their labels are learnt too.
        layers: Dotted names of modules whose maps are recorded; ``''`` is the backbone.
        needs_logits: Whether the losses need the logits of the images and views.
        needs_maps: Whether the losses need maps of the labels.
        student_size: Side of the square, in pixels, that the model sees in training; None is the size that is loaded.
        alone: Whether nothing else is learnt now: neither labels nor other objectives.
        measures: Whether tests look at the views too and call :meth:`measure`.
        measures_maps: Whether :meth:`measure` needs maps of the labels.
        proposes: Whether :meth:`propose` gives proposals to the head.

    Example:
        >>> from mlic_mm.registry import MODELS
        >>> @MODELS.register_module()
        ... class SmallFeatures(Objective):
        ...     def compute_losses(self, step):
        ...         return {'': step.image.feature.square().mean()}
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelClassifier',
        ...         backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...         neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...         head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ...         objectives=dict(small=dict(type='SmallFeatures')),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(model.loss(torch.rand(1, 3, 64, 64), [sample]))
        ['loss', 'loss_small']
    """

    views: Sequence[ViewTransform] = ()
    layers: Sequence[str] = ()
    needs_logits: bool = False
    needs_maps: bool = False
    student_size: int | None = None
    measures: bool = False
    measures_maps: bool = False
    proposes: ClassVar[bool] = False

    @property
    def alone(self) -> bool:
        """See the class."""
        return False

    def check(self, model: ImageClassifier) -> None:
        """Refuse a model with which the objective has no meaning.

        Args:
            model: The whole classifier, when it is built.

        Raises:
            ValueError: The message has the reason.
        """

    def start(self, device: torch.device) -> None:
        """Get what training needs and tests do not, such as a teacher. It is called again for every step."""

    def propose(
        self, feats: Feats, samples: list[DataSample], learn: bool = False
    ) -> tuple[list[DataSample], dict[str, Tensor]]:
        """Return the samples with proposals for the head, and losses.

        Args:
            feats: Maps of the neck.
            samples: With ``img_shape`` and ``batch_input_shape``.
            learn: Whether losses are needed.
        """
        return samples, {}

    @abstractmethod
    def compute_losses(self, step: Step) -> dict[str, Tensor]:
        """Return losses by name. They are logged as ``loss_<objective>_<name>``, or ``loss_<objective>`` for ``''``."""

    def measure(self, step: Step) -> dict[str, list[Any]]:
        """Return fields for the samples of a test by name, each with N values."""
        return {}
