"""Digests of everything that the outputs of a teacher depend on. They tell whether a cache is stale."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.safe_load.checkpoint import load_checkpoint

from ..proposals.proposal_file import ProposalFile

PARTS = ('weights', 'model', 'pipeline', 'proposals')


def teacher_fingerprint(config: str | Path | Config, checkpoint: str | Path | None = None) -> dict[str, str]:
    """Return one digest for each part that a teacher's outputs depend on, so that an error can name the part.

    The digests are of contents, not of places: a checkpoint or a proposal file may be moved or saved again. If a
    teacher is made of other models, such as an ensemble, the contents of each ``config``, ``detector`` and
    ``checkpoint`` in its ``model`` count. Other files that a model names, such as a label graph, count by their path.

    Args:
        config: Of the teacher. Its ``model``, ``data_preprocessor`` and the pipeline of ``test_dataloader`` count.
        checkpoint: The weights; None if ``model`` names them.

    Returns:
        ``weights`` (names, types, shapes and values of all tensors), ``model``, ``pipeline`` (without the proposal
        file) and ``proposals`` (the fingerprint of that file; empty without one).

    Raises:
        FileNotFoundError: The config, the checkpoint or the proposal file is missing.
        ValueError: The config has no model or no test pipeline, or a file is damaged.

    Example:
        >>> sorted(teacher_fingerprint('wsddn.py', 'epoch_20.pth'))  # doctest: +SKIP
        ['model', 'pipeline', 'proposals', 'weights']
    """
    if not isinstance(config, Config):
        config = read_config(config)
    name = config.filename or 'config'
    pipeline = ((config.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    if config.get('model') is None or not pipeline:
        raise ValueError(
            f'{name} has no {"model" if config.get("model") is None else "pipeline in test_dataloader.dataset"}; give '
            'the config that trained the teacher'
        )
    proposals: list[str] = []
    return dict(
        weights=_weights(checkpoint) if checkpoint is not None else '',
        model=_digest(_model(config, trained=checkpoint is not None)),
        pipeline=_digest([_without_proposals(step, proposals) for step in pipeline]),
        proposals=' '.join(proposals),
    )


def _model(config: Mapping[str, Any], trained: bool) -> list:
    model = config['model']
    own = model.get('data_preprocessor') or config.get('data_preprocessor')
    return [_by_content(model, trained), _by_content(own, trained)]


def _by_content(value: Any, trained: bool) -> Any:
    """Replace the files of models inside a model by their contents. ``trained`` weights make the initial ones idle."""
    if isinstance(value, Mapping):
        idle = ('init_cfg', 'pretrained') if trained else ()
        kept = {str(key): _by_content(item, trained) for key, item in value.items() if key not in idle}
        for key in ('config', 'detector'):
            if _is_file(value.get(key)):
                kept[key] = _model(read_config(value[key]), trained='checkpoint' in value)
        if _is_file(value.get('checkpoint')):
            kept['checkpoint'] = _weights(value['checkpoint'])
        return kept
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_by_content(item, trained) for item in value]
    return value


def _is_file(value: Any) -> bool:
    return isinstance(value, (str, Path)) and Path(value).expanduser().is_file()


def _without_proposals(step: Mapping[str, Any], proposals: list[str]) -> dict[str, Any]:
    """Return the options of a step that decide about the sample. Add the file of ``LoadProposals`` to a list."""
    kept = {key: value for key, value in step.items() if key not in ('cache_mb', 'meta_keys')}
    if type_name(step['type']) == 'LoadProposals':
        proposals.append(ProposalFile(kept.pop('file')).fingerprint)
    return kept


def _weights(checkpoint: str | Path) -> str:
    loaded = load_checkpoint(checkpoint)
    weights = {key.removeprefix('module.'): value for key, value in loaded.get('state_dict', loaded).items()}
    digest = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key]
        if not isinstance(value, torch.Tensor):
            digest.update(f'{key} {value!r}\n'.encode())
            continue
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}\n'.encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()
