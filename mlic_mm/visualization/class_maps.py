"""Class maps laid over images: backbone, LIFT map and attended map side by side (Deep-LIFT, Fig. 7)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor

from .cam import grad_cam
from .pictures import Picture, embed, fit, overlay


class NoFeatureMapError(ValueError):
    """The model has no map to lay over an image; the message names its backbone."""


@dataclass(frozen=True)
class LabelColumn:
    """The maps of one label over one image, one picture per layer."""

    label: int
    score: float
    pictures: list[Picture]
    silent: list[bool]
    """Per layer: the map is zero everywhere, nothing in it speaks for the label."""


@dataclass(frozen=True)
class MapCard:
    """One image with the maps of its highest-ranked labels, or why there are none (``problem``)."""

    row: int
    photo: Picture = field(default_factory=Picture)
    columns: list[LabelColumn] = field(default_factory=list)
    problem: str = ''


LAYER_NAMES = ('conv5_x', 'LIFT map', 'attended map')


def layers_of(model: ImageClassifier) -> tuple[str, ...]:
    """Return the names of the maps that the model has: three with a label-specific head, else the backbone's last."""
    return LAYER_NAMES if hasattr(model.head, 'maps') and hasattr(model.head, 'logits') else LAYER_NAMES[:1]


def choose_images(targets: np.ndarray, limit: int) -> list[int]:
    """Return rows spread evenly over the data: images with two or three labels first, then with any, then the rest."""
    positives = (targets == 1).sum(axis=1)
    tiers = ((positives == 2) | (positives == 3), positives == 1, positives > 3, positives == 0)
    chosen: list[int] = []
    for tier in tiers:
        rows = np.flatnonzero(tier)
        want = min(limit - len(chosen), len(rows))
        if want:
            chosen += [int(row) for row in rows[np.linspace(0, len(rows) - 1, want).round().astype(int)]]
    return sorted(chosen)


def forward_with_maps(model: ImageClassifier, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run a classifier so that its logits can be differentiated with respect to its maps.

    The backbone runs without gradients: they are needed from the logits back to its last map only.

    Args:
        model: In eval mode.
        inputs: Preprocessed images ``(N, 3, H, W)``.

    Returns:
        Logits ``(N, C)`` and one map ``(N, K, h, w)`` per name of :func:`layers_of`.

    Raises:
        NoFeatureMapError: The backbone's last output is no map.
    """
    with torch.no_grad():
        feats = model.extract_feat(inputs, stage='backbone')
    feats = tuple(feats) if isinstance(feats, (tuple, list)) else (feats,)
    if not isinstance(feats[-1], Tensor) or feats[-1].dim() != 4:
        raise NoFeatureMapError(
            f'class maps need a backbone whose last output is a map (N, K, H, W); {type(model.backbone).__name__} '
            f'gives {tuple(feats[-1].shape) if isinstance(feats[-1], Tensor) else type(feats[-1]).__name__}'
        )
    with torch.enable_grad():
        last = feats[-1].detach().requires_grad_()
        feats = (*feats[:-1], last)
        feats = model.neck(feats) if model.with_neck else feats
        if len(layers_of(model)) == 1:
            return model.head(feats), [last]
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
    """Explain the ``top`` highest-ranked labels of some images by Grad-CAM in each of the model's maps.

    Args:
        model: Classifier; its mode is restored afterwards.
        dataset: The data set that was scored, with its test pipeline.
        rows: Rows of the scores.
        image_ids: Identity of every row, ``(N,)``.
        num_classes: Labels of the scores, which the model must have too.
        top: Labels per image.
        longest: Longer side of the pictures in pixels.

    Raises:
        NoFeatureMapError: The model is of another kind, or its backbone gives no map.
        ValueError: The model gives another number of labels.
    """
    if not isinstance(model, ImageClassifier):
        raise NoFeatureMapError(f'class maps need an ImageClassifier of mmpretrain, got {type(model).__name__}')
    index = _rows_in_dataset(dataset, rows, image_ids)
    training = model.training
    model.eval()
    try:
        cards = []
        for row in rows:
            if row not in index:
                cards.append(MapCard(row, problem=f'{image_ids[row]} is not in the data set that was given'))
                continue
            try:
                sample = dataset[index[row]]
            except (OSError, ValueError) as error:
                cards.append(MapCard(row, problem=str(error)))
                continue
            cards.append(_explain(model, sample, row, num_classes, top, longest))
        return cards
    finally:
        model.train(training)


def _explain(model: ImageClassifier, sample: dict, row: int, num_classes: int, top: int, longest: int) -> MapCard:
    batch = model.data_preprocessor({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, False)
    logits, layers = forward_with_maps(model, batch['inputs'])
    if logits.size(1) != num_classes:
        raise ValueError(
            f'the model gives {logits.size(1)} labels and the scores have {num_classes}: give the model that was scored'
        )
    best = logits[0].detach().topk(min(top, logits.size(1))).indices
    scores = logits[0, best].detach().sigmoid().tolist()
    cams = [grad_cam(logits[:, best], layer)[0].cpu().numpy() for layer in layers]  # each (L, h, w)
    photo = fit(_displayable(sample['inputs']), longest)
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


def _displayable(image: Tensor) -> np.ndarray:
    """Return what the network saw, ``(3, H, W)`` or ``(1, H, W)``, as uint8 BGR; floats are stretched to fit."""
    array = image.detach().cpu().permute(1, 2, 0).numpy()  # (H, W, 3), BGR as every OpenMMLab loader gives it
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = ((array - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _rows_in_dataset(dataset: Any, rows: Sequence[int], image_ids: Sequence[str]) -> dict[int, int]:
    """Find each row's sample by its id; the data set is only searched when it is not in the order of the scores."""

    def identity(i: int) -> str:
        info = dataset.get_data_info(i)
        return str(info['img_id'] if 'img_id' in info else info['img_path'])

    if all(row < len(dataset) and identity(row) == image_ids[row] for row in rows):
        return {row: row for row in rows}
    place = {identity(i): i for i in range(len(dataset))}
    return {row: place[str(image_ids[row])] for row in rows if str(image_ids[row]) in place}
