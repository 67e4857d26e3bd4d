"""What a checkpoint holds for a model: weights and the names of the labels."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import CheckpointError

__all__ = ['check_weights_fit', 'misfit', 'plain_names', 'stated_classes']

SAME_CONFIG = 'use the config that the checkpoint was trained with'
DENSE = 'save the weights as ordinary dense tensors of the type that the model has'


def check_weights_fit(model: nn.Module, checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse a checkpoint that does not have all weights of a model; those it lacks would stay random.

    Args:
        model (nn.Module): Built from the config.
        checkpoint (Mapping): From :func:`load_checkpoint`.
        source (str): For the message: ``'checkpoint best.pth'``.

    Raises:
        CheckpointError: Names what is missing or has another shape, foreign prefixes and the cure.
    """
    own, found = model.state_dict(), plain_names(checkpoint)
    if not found:
        raise CheckpointError(f'{source} holds no weights, but {", ".join(map(str, checkpoint)) or "nothing"}')
    cure = SAME_CONFIG
    # Older checkpoints lack the count of batches, which no forward pass reads.
    missing = [key for key in own if key not in found and not key.endswith('num_batches_tracked')]
    if missing:
        lacks = f'{source} lacks {len(missing)} of the {len(own)} tensors of the model, the first is {missing[0]}'
        prefix = _foreign_prefix(own, found)
        if prefix:
            cure = f'its names begin with {prefix!r}, which is not of this model: save it without that prefix'
        elif not any(key in own for key in found):
            cure = f'none of its names fits, the first is {next(iter(found))!r}: {cure}'
        elif not any(key.startswith('head.') for key in found):
            cure = f'it has no head, as weights to start a training from have none (load_from, init_cfg): {cure}'
        raise CheckpointError(f'{lacks}; {cure}')
    for key, value in own.items():
        why = misfit(found[key], value) if key in found else ''
        if why:
            raise CheckpointError(f'{source} has {key} {why}')


def misfit(found: Tensor, own: Tensor) -> str:
    """Say why a tensor of a checkpoint cannot take the place of one of a model; empty where it can.

    mmengine leaves such a tensor of the model as it was initialised, with only a warning.
    """
    if not own.numel():  # what is empty, such as ratios yet to be counted, takes any shape
        return ''
    if found.shape != own.shape:
        return f'of shape {tuple(found.shape)}, the model of the config has {tuple(own.shape)}: {SAME_CONFIG}'
    if found.layout != torch.strided or found.is_meta:
        return f'as {"no numbers" if found.is_meta else found.layout}: {DENSE}'
    if found.is_floating_point() != own.is_floating_point() or found.is_complex() != own.is_complex():
        return f'as {found.dtype}, the model as {own.dtype}: {DENSE}'
    return ''


def plain_names(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by their names, without what wrappers for several processes put before."""
    weights = checkpoint.get('state_dict', {})
    return {
        key.removeprefix('module.'): value
        for key, value in weights.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def stated_classes(checkpoint: Mapping[str, Any], source: str) -> tuple[str, ...] | None:
    """Return the label names that a checkpoint states, None where it states none.

    Raises:
        CheckpointError: What it states are no names.
    """
    meta = checkpoint.get('meta')
    stated = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    classes = stated.get('classes') if isinstance(stated, Mapping) else None
    if classes is None:
        return None
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f'{source}: meta.dataset_meta.classes is {str(classes)[:80]}, not a list of label names')
    return tuple(classes) or None


def _foreign_prefix(own: Iterable[str], found: Mapping[str, Tensor]) -> str:
    """What stands before all names of a model in a checkpoint; empty where the names differ in another way."""
    first = next(iter(own))
    for key in found:
        prefix = key.removesuffix(first)
        if prefix and prefix != key and all(prefix + name in found or name.endswith('tracked') for name in own):
            return prefix
    return ''
