"""Class maps over images: backbone, LIFT map and attended map side by side (Deep-LIFT, Fig. 7)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.classifiers import MultiLabelClassifier

from .cam import grad_cam
from .inputs import (
    backbone_maps,
    cards_of,
    check_image_classifier,
    check_num_classes,
    displayable,
    preprocess,
)
from .pictures import Picture, embed, fit, overlay


@dataclass(frozen=True)
class LabelColumn:
    """The maps of one label over one image, one picture for each layer.

    Attributes:
        label: Index of the label.
        score: Its probability.
        pictures: The maps.
        silent: Whether a map is zero everywhere, so that nothing in it speaks for the label.
    """

    label: int
    score: float
    pictures: list[Picture]
    silent: list[bool]


@dataclass(frozen=True)
class MapCard:
    """One image with the maps of its highest-ranked labels, or the reason why there are none (``problem``)."""

    row: int
    photo: Picture = field(default_factory=Picture)
    columns: list[LabelColumn] = field(default_factory=list)
    problem: str = ''


LAYER_NAMES = ('conv5_x', 'LIFT map', 'attended map')


def layers_of(model: ImageClassifier) -> tuple[str, ...]:
    """Return the names of the maps of a model: three with a label-specific head, or else the last of the backbone."""
    return LAYER_NAMES if hasattr(model.head, 'maps') and hasattr(model.head, 'logits') else LAYER_NAMES[:1]


def choose_images(targets: np.ndarray, limit: int) -> list[int]:
    """Return rows that are spread evenly over the data.

    Images with two or three labels come first, then those with one, with more, and with none.

    Args:
        targets: ``(N, C)`` of 1, 0 and −1.
        limit: The largest number of rows.
    """
    positives = (targets == 1).sum(axis=1)
    tiers = ((positives == 2) | (positives == 3), positives == 1, positives > 3, positives == 0)
    chosen: list[int] = []
    for tier in tiers:
        rows = np.flatnonzero(tier)
        want = min(limit - len(chosen), len(rows))
        if want:
            chosen += [int(row) for row in rows[np.linspace(0, len(rows) - 1, want).round().astype(int)]]
    return sorted(chosen)


def logits_and_layers(
    model: ImageClassifier, inputs: Tensor, data_samples: list[DataSample] | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Run a classifier so that its logits can be differentiated with respect to its maps.

    The backbone runs without gradients, because they are needed from the logits back to its last map only.

    Args:
        model: A classifier in eval mode.
        inputs: Preprocessed images ``(N, 3, H, W)``.
        data_samples: The samples of the images, for heads that look at regions.

    Returns:
        Logits ``(N, C)``, and one map ``(N, K, h, w)`` for each name of :func:`layers_of`.

    Raises:
        NoFeatureMapError: The last output of the backbone is no map.
    """
    feats = backbone_maps(model, inputs)
    with torch.enable_grad():
        last = feats[-1].detach().requires_grad_()
        feats = (*feats[:-1], last)
        feats = model.neck(feats) if model.with_neck else feats
        if len(layers_of(model)) == 1:
            if isinstance(model, MultiLabelClassifier):
                data_samples = model.propose(feats, inputs, data_samples)
            looks_at_regions = 'data_samples' in signature(model.head.forward).parameters
            return model.head(feats, data_samples) if looks_at_regions else model.head(feats), [last]
        maps = model.head.maps(feats)
        return model.head.logits(maps.attended), [last, maps.lift, maps.attended]


def class_maps(
    model: ImageClassifier,
    dataset: Any,
    rows: Sequence[int],
    image_ids: Sequence[str],
    num_classes: int,
    top: int = 3,
    longest: int = 192,
) -> list[MapCard]:
    """Explain the highest-ranked labels of some images by Grad-CAM, in each of the model's maps.

    Args:
        model: A classifier. Its mode is restored afterwards.
        dataset: The data set that was scored, with its test pipeline.
        rows: Rows of the scores.
        image_ids: Id of every row, ``(N,)``.
        num_classes: Number of labels of the scores, which the model must have too.
        top: Number of labels for each image.
        longest: Longer side of the pictures in pixels.

    Raises:
        NoFeatureMapError: The model is of another kind, or its backbone gives no map.
        ValueError: The model gives another number of labels.
    """
    check_image_classifier(model)
    return cards_of(
        model,
        dataset,
        rows,
        image_ids,
        lambda sample, row: _explain(model, sample, row, num_classes, top, longest),
        lambda row, problem: MapCard(row, problem=problem),
    )


def _explain(model: ImageClassifier, sample: dict, row: int, num_classes: int, top: int, longest: int) -> MapCard:
    logits, layers = logits_and_layers(model, *preprocess(model, sample))
    check_num_classes(logits, num_classes)
    best = logits[0].detach().topk(min(top, logits.size(1))).indices
    scores = logits[0, best].detach().sigmoid().tolist()
    cams = [grad_cam(logits[:, best], layer)[0].cpu().numpy() for layer in layers]  # each (L, h, w)
    photo = fit(displayable(sample['inputs']), longest)
    columns = [
        LabelColumn(
            label,
            scores[i],
            [embed(overlay(photo, cam[i])) for cam in cams],
            [not cam[i].any() for cam in cams],
        )
        for i, label in enumerate(best.tolist())
    ]
    return MapCard(row, embed(photo), columns)
