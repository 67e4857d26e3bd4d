"""One look of a model at images and at their views, which serves all objectives."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.heads import head_with_maps, map_channels, split_neck
from mlic_mm.models.layers import channels_first
from mlic_mm.models.objectives import Step, ViewOutputs
from mlic_mm.models.objectives.region_proposals import describe
from mlic_mm.models.view_transforms import ScaleView, ViewTransform

__all__ = ['Wanted', 'add_losses', 'different_views', 'look']

Losses = dict[str, Tensor]
Batch = tuple[Tensor, list[DataSample]]


class Wanted(NamedTuple):
    """What a forward pass must give: losses, logits, maps of the labels; without any of them the head does not run."""

    losses: bool
    logits: bool
    maps: bool

    @property
    def head(self) -> bool:
        """Whether the head must run."""
        return self.losses or self.logits or self.maps


def look(
    model: Any,
    inputs: Tensor,
    data_samples: list[DataSample],
    objectives: list[Any],
    wanted: Wanted,
    side: int | None = None,
) -> tuple[Step, Losses]:
    """Look at images and at their views, once for each size; return what objectives see, and losses.

    Args:
        model: A :class:`MultiLabelClassifier`.
        inputs: Images as they were loaded.
        data_samples: Their samples.
        objectives: Those that are active.
        wanted: What the forward pass must give.
        side: ``student_size``.
    """
    samples = data_samples if model.proposer is None else describe(inputs, data_samples)
    loaded = inputs.size(-2), inputs.size(-1)
    resized = side is not None and loaded != (side, side)
    images, seen = _move(model, ScaleView(side), inputs, samples) if resized and side else (inputs, samples)
    size = images.size(-2), images.size(-1)
    views = different_views(objectives)
    shown = [(images, seen), *(_move(model, view, images, seen) for view in views)]
    outputs, layers, losses = _see_all(model, shown, wanted)
    if wanted.losses and not model.own_loss:
        logits: list[Any] = [each.logits for each in outputs]
        losses |= model.head._get_loss(torch.cat(logits), list(samples) * len(shown))
    if resized and model.proposer is not None:
        seen = [ScaleView(loaded).sample(sample, size) for sample in seen]  # the teacher sees the images as loaded
    others = {view.name: each for view, each in zip(views, outputs[1:], strict=True)}
    proposed = samples if model.proposer is None else seen
    return Step(inputs, data_samples, proposed, size, model.data_preprocessor, outputs[0], others, layers), losses


def different_views(objectives: Sequence[Any]) -> list[ViewTransform]:
    """Return the views of objectives, those with the same name once."""
    return list({view.name: view for each in objectives for view in each.views}.values())


def add_losses(losses: Losses, objective: str, found: Losses) -> None:
    """Add the losses of an objective under their names in logs.

    Raises:
        ValueError: The name is taken.
    """
    for name, value in found.items():
        key = f'loss_{objective}_{name}' if name else f'loss_{objective}'
        if key in losses:
            raise ValueError(f'{key} is the name of two losses: give the objective {objective!r} another name')
        losses[key] = value


def _move(model: Any, view: ViewTransform, images: Tensor, samples: list[DataSample]) -> Batch:
    """Return a view of the images, and the samples with boxes that have moved if the model looks at boxes."""
    if model.takes_samples or model.proposer is not None:
        size = images.size(-2), images.size(-1)
        samples = [view.sample(sample, size) for sample in samples]
    return view.image(images), samples


def _see_all(model: Any, shown: list[Batch], wanted: Wanted) -> tuple[list[ViewOutputs], dict[str, Tensor], Losses]:
    """Run the model once for each size of images; also return the layers of the first batch, and losses."""
    outputs: dict[int, ViewOutputs] = {}
    layers: dict[str, Tensor] = {}
    losses: Losses = {}
    for shape in dict.fromkeys((image.size(-2), image.size(-1)) for image, _ in shown):
        same = [i for i, (image, _) in enumerate(shown) if (image.size(-2), image.size(-1)) == shape]
        images = torch.cat([shown[i][0] for i in same]) if len(same) > 1 else shown[same[0]][0]
        batch = images, [sample for i in same for sample in shown[i][1]]
        if same[0] == 0:
            (found, its), maps = model.layer_maps.record(_see, model, *batch, wanted)
            layers = {name: each[: len(shown[0][0])] for name, each in maps.items()}
        else:
            found, its = _see(model, *batch, wanted)
        share = len(same) / len(shown)
        for name, value in its.items():  # means over the images, so of all views; a list of losses is summed later
            part: Any = [each * share for each in value] if isinstance(value, list) else value * share
            losses[name] = losses[name] + part if name in losses else part
        outputs |= dict(zip(same, found.chunk(len(same)), strict=True))
    return [outputs[i] for i in range(len(shown))], layers, losses


def _see(model: Any, images: Tensor, samples: list[DataSample], wanted: Wanted) -> tuple[ViewOutputs, Losses]:
    """Run the model on images of one size; also return the losses that are not of logits."""
    feats = model.backbone(images)
    neck = model.neck if model.with_neck else None
    if not wanted.head:
        if model.proposer is not None:  # a teacher may look at the proposals; they are not learnt now
            model.proposer.propose(neck(feats) if neck is not None else feats, samples)
        elif neck is not None and any(layer.startswith('neck') for layer in model.layer_maps.layers):
            neck(feats)
        return ViewOutputs(feats[-1]), {}
    before, pooling = split_neck(neck)
    maps = before(feats) if before is not None else feats
    feature = channels_first(feats[-1] if feats[-1].dim() == 4 else maps[-1], map_channels(model.head))
    losses: Losses = {}
    if model.proposer is not None and (wanted.losses or model.takes_samples):
        samples, found = model.proposer.propose(maps, samples, learn=wanted.losses)
        add_losses(losses, model.proposer_name, found)
    logits, label_maps = None, None
    if wanted.maps:
        logits, label_maps = head_with_maps(model.head, pooling, maps)
        if not model.own_loss:
            return ViewOutputs(feature, logits, label_maps), losses
    pooled = pooling(maps) if pooling is not None else maps
    if wanted.losses and model.own_loss:
        losses |= model.head.loss(pooled, samples)
    if logits is None and (wanted.logits or not model.own_loss):
        logits = model.head(pooled, samples) if model.takes_samples else model.head(pooled)
    return ViewOutputs(feature, logits, label_maps), losses
