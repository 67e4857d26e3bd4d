"""Maps of labels over an image and over its views, side by side (attention consistency, Fig. 5)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor

from mlic_mm.models import MultiLabelClassifier
from mlic_mm.models.heads import check_gives_maps, forward_with_maps
from mlic_mm.models.view_transforms import FlipView, ScaleView, ViewTransform, inconsistency

from .inputs import (
    NoFeatureMapError,
    backbone_maps,
    before_preprocessing,
    cards_of,
    check_image_classifier,
    check_num_classes,
    displayable,
    preprocess,
)
from .pictures import Picture, embed, fit, overlay

PHOTOGRAPH = 'photograph'
"""Name of the image itself, among its views."""


@dataclass(frozen=True)
class ViewCell:
    """The map of a label over the image, or over one view of it.

    Attributes:
        name: Name of the view.
        picture: The picture, with a ``problem`` if the model cannot look at this view.
        share: Width as a part of the width of the widest view.
        score: Probability of the label.
        silent: Whether the map is positive nowhere, so that nothing in it speaks for the label.
        distance: Attention inconsistency under the view, in squared logits. NaN for the image itself.
        relative: The same of the maps minus their means, in variances over places. NaN if both maps are constant.
    """

    name: str
    picture: Picture
    share: float = 1.0
    score: float = math.nan
    silent: bool = False
    distance: float = math.nan
    relative: float = math.nan


@dataclass(frozen=True)
class LabelRow:
    """The maps of one label, all on one colour scale."""

    label: int
    cells: list[ViewCell]


@dataclass(frozen=True)
class ViewCard:
    """One image with the rows of its highest-ranked labels, or the reason why there are none (``problem``).

    Attributes:
        row: Row of the scores.
        photo: The image.
        frame: Width and height in pixels that have room for every view.
        rows: The maps of each label.
        problem: The reason.
    """

    row: int
    photo: Picture = field(default_factory=Picture)
    frame: tuple[int, int] = (1, 1)
    rows: list[LabelRow] = field(default_factory=list)
    problem: str = ''


class _Seen(NamedTuple):
    """An image or view ``(1, 3, H, W)``, the logits ``(1, C)`` and the maps of the labels ``(1, C, h, w)``."""

    image: Tensor
    logits: Tensor
    maps: Tensor


def views_of(model: ImageClassifier, size: tuple[int, int]) -> list[ViewTransform]:
    """Return the views of the model. If it has none, return the mirror image and three quarters of the size.

    Three quarters are rounded to a multiple of 32, the stride of most backbones. At 32 pixels there is no other size.

    Args:
        model: Any classifier.
        size: ``(H, W)`` of the images in pixels.
    """
    if isinstance(model, MultiLabelClassifier) and model.views:
        return model.views
    height, width = (32 * max(1, math.ceil(0.75 * side / 32 - 0.5)) for side in size)
    scaled: list[ViewTransform] = [ScaleView((height, width))] if (height, width) != size else []
    return [FlipView(), *scaled]


def view_maps(
    model: ImageClassifier,
    dataset: Any,
    rows: Sequence[int],
    image_ids: Sequence[str],
    num_classes: int,
    top: int = 2,
    longest: int = 160,
) -> list[ViewCard]:
    """Lay the maps of the highest-ranked labels over some images and over their views (:func:`views_of`).

    Args:
        model: A classifier. Its mode is restored afterwards.
        dataset: The data set that was scored, with its test pipeline.
        rows: Rows of the scores.
        image_ids: Id of every row, ``(N,)``.
        num_classes: Number of labels of the scores, which the model must have too.
        top: Number of labels for each image.
        longest: Longest side of the pictures in pixels. All views of an image have one scale.

    Raises:
        NoFeatureMapError: The model is of another kind, or its head or backbone gives no map.
        ValueError: The model gives another number of labels.
    """
    check_image_classifier(model)
    try:
        check_gives_maps(model.head, model.neck if model.with_neck else None)
    except ValueError as error:
        raise NoFeatureMapError(str(error)) from error
    return cards_of(
        model,
        dataset,
        rows,
        image_ids,
        lambda sample, row: _look(model, sample, row, num_classes, top, longest),
        lambda row, problem: ViewCard(row, problem=problem),
    )


@torch.no_grad()
def _look(model: ImageClassifier, sample: dict, row: int, num_classes: int, top: int, longest: int) -> ViewCard:
    image, _ = preprocess(model, sample)
    first = _see(model, image)
    check_num_classes(first.logits, num_classes)
    size = image.size(2), image.size(3)
    views = views_of(model, size)
    best = first.logits[0].topk(min(top, num_classes)).indices.tolist()
    seen, figures = {PHOTOGRAPH: first}, {}
    problems: dict[str, str] = {}
    for view in views:
        try:
            there = _see(model, view.image(image))
            figures[view.name] = [_inconsistency(view, first, there, label, size) for label in best]
        # A backbone of one size, or a translation by a part of a cell: the page says so and shows the other views.
        except (ValueError, RuntimeError, AssertionError) as error:
            problems[view.name] = next(iter(str(error).splitlines()), type(error).__name__)
        else:
            seen[view.name] = there

    height, width = (max(each.image.size(dim) for each in seen.values()) for dim in (2, 3))
    shrink = min(1, longest / max(height, width))
    pictures = {
        name: fit(
            displayable(before_preprocessing(each.image[0], model.data_preprocessor, sample['inputs'].dtype)),
            max(1, round(shrink * max(each.image.shape[2:]))),
        )
        for name, each in seen.items()
    }

    def cell(place: int, name: str, peak: float) -> ViewCell:
        if name in problems:
            return ViewCell(name, Picture(problem=problems[name]))
        label, each = best[place], seen[name]
        heat = each.maps[0, label].float().relu().cpu().numpy()
        distance, relative = figures[name][place] if name in figures else (math.nan, math.nan)
        return ViewCell(
            name,
            embed(overlay(pictures[name], heat, peak)),
            each.image.size(3) / width,
            float(each.logits[0, label].sigmoid()),
            not heat.any(),
            distance,
            relative,
        )

    label_rows = []
    for place, label in enumerate(best):
        peak = max(float(each.maps[0, label].max()) for each in seen.values())
        names = [PHOTOGRAPH, *(view.name for view in views)]
        label_rows.append(LabelRow(label, [cell(place, name, peak) for name in names]))
    return ViewCard(row, embed(pictures[PHOTOGRAPH]), (width, height), label_rows)


def _see(model: ImageClassifier, image: Tensor) -> _Seen:
    neck = model.neck if model.with_neck else None
    return _Seen(image, *forward_with_maps(model.head, neck, backbone_maps(model, image)))


def _inconsistency(
    view: ViewTransform, first: _Seen, seen: _Seen, label: int, size: tuple[int, int]
) -> tuple[float, float]:
    """Return the share of one label in both metrics of :class:`AttentionInconsistency`."""
    mine, theirs = (each.maps[:, label : label + 1] for each in (first, seen))
    distance, pattern, spread = inconsistency(view, mine, theirs, size)[0].tolist()
    return distance, pattern / spread if spread else math.nan
