"""What a checkpoint holds for a model: weights and the names of the labels."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import CheckpointError, load_checkpoint

__all__ = ['StoredWeights', 'misfit']

SAME_CONFIG = 'use the config that the checkpoint was trained with'
DENSE = 'save the weights as ordinary dense tensors of the type that the model has'


@dataclass(frozen=True)
class StoredWeights:
    """Weights and label names of a checkpoint.

    Attributes:
        source: Name of the checkpoint in messages: ``'checkpoint best.pth'``.
        weights: Tensors by their names in the model.
        classes: Label names, None if the checkpoint states none.

    Example:
        >>> stored = StoredWeights.of({'state_dict': nn.Linear(2, 1).state_dict()}, 'checkpoint best.pth')
        >>> stored.load_into(nn.Linear(2, 1))
        []
        >>> stored.load_into(nn.Linear(3, 1))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mlic_mm.safe_load.checkpoint.CheckpointError: checkpoint best.pth has weight of shape (1, 2), the model ...
    """

    source: str
    weights: dict[str, Tensor]
    classes: tuple[str, ...] | None = None

    @classmethod
    def read(cls, path: str | Path) -> 'StoredWeights':
        """Read a local checkpoint as plain data.

        Raises:
            FileNotFoundError, CheckpointError: See :func:`load_checkpoint` and :meth:`of`.
        """
        return cls.of(load_checkpoint(path), f'checkpoint {path}')

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any], source: str) -> 'StoredWeights':
        """Take the weights and label names of a loaded checkpoint.

        Prefixes that wrappers for several processes put before names are removed. ``meta.dataset_meta.classes`` states
        the label names, up to mmdet 2 and mmcls 0 ``meta.CLASSES``.

        Raises:
            CheckpointError: The checkpoint holds no weights, or states something else than names.
        """
        weights = {
            key.removeprefix('module.'): value
            for key, value in checkpoint.get('state_dict', {}).items()
            if isinstance(key, str) and isinstance(value, Tensor)
        }
        if not weights:
            raise CheckpointError(f'{source} holds no weights, but {", ".join(map(str, checkpoint)) or "nothing"}')
        return cls(source, weights, _stated_classes(checkpoint.get('meta'), source))

    def check_fit(self, model: nn.Module, parts: Collection[str] | None = None, training: bool = False) -> None:
        """Refuse weights that are not all that a model has; what they lack would stay random.

        Args:
            model: Built from the config.
            parts: Look at all weights of these modules only. By default, look at all modules.
            training: Look at what only objectives learn, too. A test does not need it.

        Raises:
            CheckpointError: Names what is missing or has another shape, foreign prefixes and the cure.
        """
        own, found = _of_parts(model, parts), self.weights
        cure = SAME_CONFIG
        # Older checkpoints lack the count of batches, which no forward pass reads.
        unread = 'num_batches_tracked'
        training_only = () if training or parts is not None else getattr(model, 'training_only', ())
        missing = [
            key for key in own if key not in found and not key.endswith(unread) and not key.startswith(training_only)
        ]
        if missing:
            lacks = (
                f'{self.source} lacks {len(missing)} of the {len(own)} tensors of the model, the first is {missing[0]}'
            )
            prefix = _foreign_prefix(own, found)
            if prefix:
                cure = f'its names begin with {prefix!r}, which is not of this model: save it without that prefix'
            elif not any(key in own for key in found):
                cure = f'none of its names fits, the first is {next(iter(found))!r}: {cure}'
            elif not _has_head(found) and _has_head(own):
                cure = f'it has no head, as weights to start a training from have none (load_from, init_cfg): {cure}'
            raise CheckpointError(f'{lacks}; {cure}')
        learnt = [key for key in found if training and key.startswith('objectives.') and key not in own]
        if learnt:
            raise CheckpointError(
                f'{self.source} has what an objective learnt that the config does not have, the first is {learnt[0]}: '
                'resume with the same objectives, or start from its weights with load_from'
            )
        for key, value in own.items():
            why = misfit(found[key], value) if key in found else ''
            if why:
                raise CheckpointError(f'{self.source} has {key} {why}')

    def load_into(self, model: nn.Module, parts: Collection[str] | None = None) -> list[str]:
        """Load all weights of a model and return the names that it does not need.

        mmengine loads what fits and warns of the rest, which in a test is a model with random parts.

        Args:
            model: Built from the config.
            parts: Load these modules of the model only; all by default.

        Raises:
            CheckpointError: See :meth:`check_fit`.
        """
        self.check_fit(model, parts)
        own = _of_parts(model, parts)
        wanted = self.weights if parts is None else {name: self.weights[name] for name in own if name in self.weights}
        return list(model.load_state_dict(wanted, strict=False).unexpected_keys)


def misfit(found: Tensor, own: Tensor) -> str:
    """Say why a tensor of a checkpoint cannot take the place of one of a model; empty if it can.

    mmengine leaves such a tensor of the model as it was initialised, with only a warning.
    """
    if not own.numel():  # an empty tensor, such as ratios that are counted later, takes any shape
        return ''
    if found.shape != own.shape:
        return f'of shape {tuple(found.shape)}, the model of the config has {tuple(own.shape)}: {SAME_CONFIG}'
    if found.layout != torch.strided or found.is_meta:
        return f'as {"no numbers" if found.is_meta else found.layout}: {DENSE}'
    if found.is_floating_point() != own.is_floating_point() or found.is_complex() != own.is_complex():
        return f'as {found.dtype}, the model as {own.dtype}: {DENSE}'
    return ''


def _of_parts(model: nn.Module, parts: Collection[str] | None) -> dict[str, Tensor]:
    """Return the state of a model, or of some of its modules."""
    begins = ('',) if parts is None else tuple(f'{part}.' for part in parts)
    return {name: value for name, value in model.state_dict().items() if name.startswith(begins)}


def _has_head(names: Iterable[str]) -> bool:
    return any(name.startswith('head.') for name in names)


def _stated_classes(meta: Any, source: str) -> tuple[str, ...] | None:
    meta = meta if isinstance(meta, Mapping) else {}
    stated = meta.get('dataset_meta')
    place, classes = 'dataset_meta.classes', stated.get('classes') if isinstance(stated, Mapping) else None
    if classes is None:
        place, classes = 'CLASSES', meta.get('CLASSES')
    if classes is None:
        return None
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f'{source}: meta.{place} is {str(classes)[:80]}, not a list of label names')
    return tuple(classes) or None


def _foreign_prefix(own: Iterable[str], found: Mapping[str, Tensor]) -> str:
    """Return what stands before all names of a model in a checkpoint; empty if the names differ in another way."""
    first = next(iter(own))
    for key in found:
        prefix = key.removesuffix(first)
        if prefix and prefix != key and all(prefix + name in found or name.endswith('tracked') for name in own):
            return prefix
    return ''
