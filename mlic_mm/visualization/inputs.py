"""Test images as the network sees them, and the last map of the backbone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.evaluation.scores.image_names import distinct_ids
from mlic_mm.models.data_preprocessors import denormalize
from mlic_mm.models.heads import map_channels
from mlic_mm.models.layers import channels_first
from mlic_mm.models.necks import TokensToMap

from .pictures import to_uint8

Card = TypeVar('Card')


class NoFeatureMapError(ValueError):
    """The model has no map that could be laid over an image. The message names its backbone or head."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode and restore its mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def check_image_classifier(model: nn.Module) -> None:
    """Check that a model has a backbone and a head.

    Raises:
        NoFeatureMapError: The model is of another kind.
    """
    if not isinstance(model, ImageClassifier):
        raise NoFeatureMapError(f'class maps need an ImageClassifier of mmpretrain, got {type(model).__name__}')


def check_num_classes(logits: Tensor, num_classes: int) -> None:
    """Check that a model has as many labels as the scores.

    Raises:
        ValueError: The model gives another number of labels.
    """
    if logits.size(1) != num_classes:
        raise ValueError(
            f'the model gives {logits.size(1)} labels and the scores have {num_classes}: give the model that was scored'
        )


def load_samples(dataset: Any, rows: Sequence[int], image_ids: Sequence[str]) -> Iterator[tuple[int, dict | None, str]]:
    """Yield each row with its sample, or with None and the reason why there is none.

    Args:
        dataset: The data set that was scored, with its test pipeline.
        rows: Rows of the scores.
        image_ids: Id of every row, ``(N,)``.
    """
    index = _rows_in_dataset(dataset, rows, image_ids)
    for row in rows:
        if row not in index:
            yield row, None, f'{image_ids[row]} is not in the data set that was given'
            continue
        try:
            sample = dataset[index[row]]
        except (OSError, ValueError) as error:
            yield row, None, str(error)
            continue
        yield row, sample, ''


def cards_of(
    model: nn.Module,
    dataset: Any,
    rows: Sequence[int],
    image_ids: Sequence[str],
    look: Callable[[dict, int], Card],
    missing: Callable[[int, str], Card],
) -> list[Card]:
    """Look at some images with a model in eval mode, and return a card for each.

    Args:
        model: The model. Its mode is restored afterwards.
        dataset: The data set that was scored, with its test pipeline.
        rows: Rows of the scores.
        image_ids: Id of every row, ``(N,)``.
        look: Returns the card of a sample and its row.
        missing: Returns the card of a row without a sample, and says why there is none.
    """
    with evaluating(model):
        return [
            missing(row, problem) if sample is None else look(sample, row)
            for row, sample, problem in load_samples(dataset, rows, image_ids)
        ]


def infos_of(dataset: Any, rows: Sequence[int], image_ids: Sequence[str]) -> dict[int, dict]:
    """Return the info of each row's sample in the data set: ``img_path``, and ``box`` if it is a part of an image."""
    if dataset is None:
        return {}
    return {row: dataset.get_data_info(i) for row, i in _rows_in_dataset(dataset, rows, image_ids).items()}


def preprocess(model: ImageClassifier, sample: dict) -> tuple[Tensor, list[DataSample]]:
    """Return a sample as the batch ``(1, 3, H, W)`` for the backbone, and its data sample for heads of regions."""
    batch = {'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}
    batch = model.data_preprocessor(batch, False)
    return batch['inputs'], batch['data_samples']


@torch.no_grad()
def backbone_maps(model: ImageClassifier, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of the backbone. The last is a map ``(N, K, h, w)``, even if the backbone puts channels last.

    Tokens become maps by the model's :class:`TokensToMap`, which leaves these maps as they are when the neck runs.

    Raises:
        NoFeatureMapError: The last output is no map.
    """
    feats = model.extract_feat(inputs, stage='backbone')
    feats = tuple(feats) if isinstance(feats, (tuple, list)) else (feats,)
    neck = model.neck if model.with_neck else None
    first = neck[0] if isinstance(neck, nn.Sequential) and len(neck) else neck
    if isinstance(first, TokensToMap):
        feats = first(feats)
    if not isinstance(feats[-1], Tensor) or feats[-1].dim() != 4:
        raise NoFeatureMapError(
            f'class maps need a backbone whose last output is a map (N, K, H, W); {type(model.backbone).__name__} '
            f'gives {tuple(feats[-1].shape) if isinstance(feats[-1], Tensor) else type(feats[-1]).__name__}'
        )
    return (*feats[:-1], channels_first(feats[-1], map_channels(model.head)))


def displayable(image: Tensor) -> np.ndarray:
    """Return a loaded image, ``(3, H, W)`` or ``(1, H, W)``, as uint8 BGR. Floats are stretched to 0 … 255."""
    return to_uint8(image.detach().cpu().permute(1, 2, 0).numpy())  # BGR, as every OpenMMLab loader gives it


def before_preprocessing(image: Tensor, preprocessor: nn.Module, dtype: torch.dtype) -> Tensor:
    """Denormalize an image of a batch, ``(3, H, W)``, or a view of it.

    Args:
        image: An input of the backbone.
        preprocessor: The data preprocessor of the model.
        dtype: Type of the loaded image. If it is uint8, the result is uint8 too.
    """
    image = denormalize(image, preprocessor)
    return image.round().clip(0, 255).byte() if dtype == torch.uint8 else image


def _rows_in_dataset(dataset: Any, rows: Sequence[int], image_ids: Sequence[str]) -> dict[int, int]:
    """Find the sample of each row by its id. The data set is searched only if it is not in the order of the scores."""

    def names(i: int) -> tuple[str, str]:  # its id and its path: scores may know either
        info = dataset.get_data_info(i)
        path = str(info.get('img_path') or '')
        return str(info['img_id']) if info.get('img_id') is not None else path, path

    if all(row < len(dataset) and image_ids[row] in names(row) for row in rows):
        return {row: row for row in rows}
    known = [names(i) for i in range(len(dataset))]
    ids, paths = [name for name, _ in known], [path for _, path in known]
    place = {path: i for i, path in enumerate(distinct_ids(paths, paths))}
    place |= {name: i for i, name in enumerate(distinct_ids(ids, paths))}
    return {row: place[str(image_ids[row])] for row in rows if str(image_ids[row]) in place}
