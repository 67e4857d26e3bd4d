"""The outputs of each kind of model as a teacher."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.heads import WSDDNHead
from mlic_mm.models.layers import fuse_branches
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.utils.boxes import image_frame

__all__ = ['Teaching', 'regions_of_samples', 'teaching_of']

Feats = tuple[Tensor, ...]


@runtime_checkable
class Teaching(Protocol):
    """A teacher. A model with this method needs no adapter, and brings its own weights.

    Example:
        >>> class Uniform(nn.Module):
        ...     def teach(self, raw, samples):
        ...         return DistillOutputs(logits=raw.new_zeros(len(raw), 3))
        >>> isinstance(Uniform(), Teaching)
        True
    """

    def teach(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        """Return the outputs that a student learns from.

        Args:
            raw: ``(N, 3, H, W)``, 0 to 255, BGR. The teacher normalises as it was trained.
            samples: Samples of the student, with ``proposals`` in pixels of ``raw`` if they have some.

        Returns:
            With ``boxes``, as fractions, and ``box_scores`` if the teacher knows regions, in any order and number.
        """


def teaching_of(model: nn.Module) -> Teaching:
    """Return a model as a teacher: itself if it has a method ``teach``, or else an adapter of its kind."""
    if isinstance(model, Teaching):
        return model
    if getattr(model, 'proposes', False):
        return _ProposerTeaching(model)
    if isinstance(getattr(model, 'head', None), WSDDNHead):
        return _WSDDNTeaching(model)
    return _ClassifierTeaching(model)


def regions_of_samples(raw: Tensor, samples: Sequence[DataSample]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the proposals of samples, as fractions, and their scores; nothing if samples have no proposals.

    Args:
        raw: ``(N, 3, H, W)``, the images in whose pixels proposals are.
        samples: All or none of them with ``proposals`` and ``proposal_scores``.
    """
    if not samples or 'proposals' not in samples[0]:
        return [], []
    return (
        [_fractions(sample.proposals.to(raw.device), raw) for sample in samples],
        [sample.proposal_scores.to(raw.device) for sample in samples],
    )


def _fractions(boxes: Tensor, raw: Tensor) -> Tensor:
    return boxes / boxes.new_tensor(image_frame(raw.size(3), raw.size(2)), dtype=torch.float32)


class _ClassifierTeaching:
    """Any classifier: image logits. Its regions are the proposals of the samples."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    def teach(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        boxes, scores = regions_of_samples(raw, samples)
        return DistillOutputs(self.model(self.normalised(raw)), boxes=boxes, box_scores=scores)

    def normalised(self, raw: Tensor) -> Tensor:
        return self.model.data_preprocessor(dict(inputs=raw), False)['inputs']


class _WSDDNTeaching(_ClassifierTeaching):
    """A classifier with :class:`WSDDNHead`: logits of the proposals as well, which it scores by :math:`s'`."""

    def teach(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        return self.judged(self.model.extract_feat(self.normalised(raw)), raw, samples)

    def judged(self, feats: Feats, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        head = self.model.head
        regions = head.region_logits(feats, samples)
        objectness = fuse_branches(regions.cls, regions.det).sum(2)  # s', (N, R)
        return DistillOutputs(
            head.image_logits(regions),
            cls_logits=regions.cls,
            det_logits=regions.det,
            boxes=[_fractions(box, raw) for box in regions.boxes],
            box_scores=[score[: len(box)] for score, box in zip(objectness, regions.boxes, strict=True)],
        )


class _ProposerTeaching(_WSDDNTeaching):
    """A classifier with :class:`RegionProposals`: image logits. It ignores the proposals of samples."""

    def teach(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        inputs = self.normalised(raw)
        feats = self.model.extract_feat(inputs)
        # New samples: those of the student keep their proposals.
        shapes = [sample.metainfo.get('img_shape', tuple(raw.shape[-2:])) for sample in samples]
        seen = [DataSample(metainfo=dict(img_shape=shape, ori_shape=shape)) for shape in shapes]
        seen = self.model.propose(feats, inputs, seen)
        if isinstance(self.model.head, WSDDNHead):
            return self.judged(feats, raw, seen)
        boxes, scores = regions_of_samples(raw, seen)
        return DistillOutputs(self.model.head(feats, seen), boxes=boxes, box_scores=scores)
