"""A frozen model that shows a student what it sees."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.config_files.config_file import read_config
from mlic_mm.models.heads import WSDDNHead
from mlic_mm.models.layers import fuse_branches, select_regions
from mlic_mm.models.losses import DistillOutputs

from .ensemble_classifier import EnsembleClassifier
from .trained_classifier import Labels, build_classifier, common_labels


class Teacher:
    """A trained model as teacher: evaluation mode, no gradients, dropout off, whatever its student does.

    It is no module, so that the student's checkpoints, optimiser, ``train()`` and processes know nothing of it. What
    it gives depends on its kind:

    - a classifier with :class:`WSDDNHead`: image logits, both logit matrices, and the best regions after NMS on
      :math:`s'` (KD from WSD, section 3.3);
    - any other classifier, :class:`EnsembleClassifier` and Deep-LIFT too: image logits; regions are the proposals of
      the samples, if they have some, by their prior score;
    - a model with a method ``teach(raw, samples)``, such as :class:`DetectorTeacher`: what that returns.

    Args:
        config: Config that trained the model, or its file.
        checkpoint: Its weights; None for models that bring their own, :class:`EnsembleClassifier` or a detector.
        model: In place of ``config`` the model's own, or a built model, which has its weights.
        layers: Modules whose maps are wanted, such as ``'backbone.layer3'``; ``''`` is the backbone.
        iou_threshold: Of the NMS on :math:`s'`.
        num_regions: Regions kept; fewer are recycled.

    Raises:
        ValueError: Neither or both of config and model; no checkpoint where one is needed; an unknown layer.
        FileNotFoundError: No such config or checkpoint.
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
            raise ValueError('a teacher needs either `config` and `checkpoint`, or a built `model`')
        if not 0 < iou_threshold <= 1 or num_regions < 1:
            raise ValueError(
                f'teacher: iou_threshold={iou_threshold} must lie in (0, 1], num_regions={num_regions} be at least 1'
            )
        labels: Labels = {}
        if not isinstance(model, nn.Module):
            cfg = read_config(config) if isinstance(config, str | Path) else config or dict(model=model)
            model, labels = build_classifier(cfg, checkpoint)
            if checkpoint is None and not (isinstance(model, EnsembleClassifier) or hasattr(model, 'teach')):
                name = getattr(cfg, 'filename', None) or type(model).__name__
                raise ValueError(f'{name}: no checkpoint given, so the teacher would have nothing to teach')
        elif checkpoint is not None:
            raise ValueError(f'teacher: a built model has its weights; leave out checkpoint={checkpoint!r}')
        self.labels = labels
        self.classes = common_labels(labels) or getattr(model, 'classes', None)
        assert isinstance(model, nn.Module)
        self.model: Any = model.eval().requires_grad_(False)
        self.layers = tuple(dict.fromkeys(layers))
        self.iou_threshold = iou_threshold
        self.num_regions = num_regions
        for layer in self.layers:
            find_layer(self.model, layer, 'teacher')

    @torch.no_grad()
    def __call__(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        """Return what the teacher gives for a batch.

        Args:
            raw: ``(N, 3, H, W)``, 0 to 255, BGR; the teacher normalises as it was trained.
            samples: With ``proposals`` in pixels of ``raw`` where the teacher looks at regions.
        """
        with tapped(self.model, self.layers) as maps:
            if hasattr(self.model, 'teach'):
                outputs = self.model.teach(raw, samples)
                outputs.maps = {**outputs.maps, **maps}
                return self._select(outputs, outputs.boxes, outputs.box_scores)
            if isinstance(self.model, EnsembleClassifier):
                outputs = DistillOutputs(self.model(raw))
                return self._select(outputs, *_own_proposals(raw, samples))
            inputs = self.model.data_preprocessor(dict(inputs=raw), False)['inputs']
            head = self.model.head
            if not isinstance(head, WSDDNHead):
                return self._select(DistillOutputs(self.model(inputs), maps), *_own_proposals(raw, samples))
            regions = head.region_logits(self.model.extract_feat(inputs), samples)
            objectness = fuse_branches(regions.cls, regions.det).sum(2)  # s', (N, R)
            outputs = DistillOutputs(head.image_logits(regions), maps, regions.cls, regions.det)
            scores = [score[: len(box)] for score, box in zip(objectness, regions.boxes, strict=True)]
            return self._select(outputs, [box / _frame(raw) for box in regions.boxes], scores)

    def _select(self, outputs: DistillOutputs, boxes: Any, scores: Any) -> DistillOutputs:
        """Set the best regions of each image."""
        kept = [select_regions(b, s, self.iou_threshold, self.num_regions) for b, s in zip(boxes, scores, strict=True)]
        outputs.boxes = [b[index] for b, index in zip(boxes, kept, strict=True)]
        outputs.box_scores = [s[index] for s, index in zip(scores, kept, strict=True)]
        return outputs

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self  # copies of a student, as of EMA hooks, share the teacher


@contextmanager
def tapped(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the maps of some modules while the model runs; of a tuple the last."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            maps[name] = output[-1] if isinstance(output, tuple | list) else output

        return hook

    handles = [find_layer(model, name, 'model').register_forward_hook(keep(name)) for name in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def find_layer(model: nn.Module, name: str, owner: str) -> nn.Module:
    """Return a module by its dotted name, the backbone for ``''``.

    Raises:
        ValueError: There is none.
    """
    try:
        return model.get_submodule(name or 'backbone')
    except AttributeError as error:
        raise ValueError(f'the {owner} ({type(model).__name__}) has no layer {name or "backbone"!r}: {error}') from None


def _frame(raw: Tensor) -> Tensor:
    """Width and height of images, twice, ``(4,)``."""
    return torch.tensor([raw.size(3), raw.size(2)] * 2, dtype=torch.float32, device=raw.device)


def _own_proposals(raw: Tensor, samples: list[DataSample]) -> tuple[list[Tensor], list[Tensor]]:
    """Return proposals, as fractions, and prior scores of the samples, where they have some."""
    if not samples or 'proposals' not in samples[0]:
        return [], []
    frame = _frame(raw)
    return (
        [sample.proposals.to(frame.device) / frame for sample in samples],
        [sample.proposal_scores.to(frame.device) for sample in samples],
    )


def raw_images(inputs: Tensor, preprocessor: BaseModel) -> Tensor:
    """Undo the normalisation of a data preprocessor: ``(N, 3, H, W)``, 0 to 255, BGR.

    Args:
        inputs: Normalised images.
        preprocessor: mmpretrain's, with ``mean``, ``std`` and ``to_rgb``.
    """
    own: Any = preprocessor
    if getattr(own, '_enable_normalize', False):
        inputs = inputs * own.std + own.mean
    return inputs.flip(1) if getattr(own, 'to_rgb', False) else inputs
