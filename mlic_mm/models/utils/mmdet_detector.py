"""Detectors from their configs and checkpoints, of mmdet or of its parts, for what uses one."""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.registry import MODELS
from mlic_mm.safe_load.checkpoint import load_checkpoint

from .mmdet_parts import register_mmdet


def build_detector(config: str | Path | Mapping[str, Any], user: str) -> tuple[nn.Module, Config]:
    """Build a detector with initial weights, in eval mode, and return its whole config beside it.

    Pretrained weights that the config names are not fetched: those of a checkpoint replace them. Names without a prefix
    are those of the config's ``default_scope``, see :func:`scope_of`.

    Args:
        config: The detector's config file, a whole config, or its ``model`` alone.
        user: Who asks, for messages.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        FileNotFoundError: There is no such file.
        ValueError: The config has no ``model``.
    """
    register_mmdet(user)
    if isinstance(config, Mapping):
        whole = copy.deepcopy(dict(config))
        cfg = Config(whole if 'model' in whole else dict(model=whole))
    elif Path(config).is_file():
        cfg = read_config(config)
    else:
        raise FileNotFoundError(f'{user}: config {config} not found; name the config file of a detector')
    if not (cfg.get('model') or {}).get('type'):
        raise ValueError(f'{user}: {cfg.filename or "the config"} has no model; name the config of a detector')
    _drop_init(cfg.model)
    with DefaultScope.overwrite_default_scope(scope_of(cfg)):
        return MODELS.build(cfg.model).eval(), cfg


def scope_of(cfg: Config) -> str:
    """Return where names without a prefix belong: ``default_scope`` or, of an mmdet model alone, ``mmdet``."""
    ours = str(cfg.model.type).startswith('mlic_mm.')
    return cfg.get('default_scope') or ('mmpretrain' if ours else 'mmdet')


def load_detector(
    model: nn.Module, checkpoint: str | Path, source: str, user: str, parts: Collection[str] | None = None
) -> tuple[str, ...] | None:
    """Load the weights of a detector as plain data and return the class names that come with them.

    Args:
        model: The detector.
        checkpoint: File of weights, those of more modules than the model has too.
        source: Its config, for messages.
        user: Who asks, for messages.
        parts: Load these modules only; all by default.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Weights are missing or of another shape.
    """
    read = load_checkpoint(checkpoint)
    state = {name.removeprefix('module.'): value for name, value in read.get('state_dict', read).items()}
    wanted = [name for name in model.state_dict() if parts is None or name.partition('.')[0] in parts]
    if lacking := sorted(set(wanted) - set(state)):
        raise ValueError(
            f'{user}: {checkpoint} lacks {len(lacking)} weights of {source}, the first {lacking[0]}; '
            'name the checkpoint of this detector'
        )
    try:
        model.load_state_dict({name: state[name] for name in wanted}, strict=False)
    except RuntimeError as error:
        raise ValueError(f'{user}: {checkpoint} does not fit {source}: {error}') from None
    meta = read.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    classes = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')  # the latter up to mmdet 2
    return tuple(classes) if classes else None


def dataset_of(cfg: Config) -> ConfigDict | None:
    """Return the config of the data set that a detector is tested on, out of what wraps it; None where it has none."""
    node = (cfg.get('test_dataloader') or {}).get('dataset')
    while node is not None and 'pipeline' not in node:
        node = node.get('dataset') or next(iter(node.get('datasets', ())), None)
    return node


def _drop_init(node: Any) -> None:
    """Remove every ``init_cfg`` of pretrained weights."""
    if isinstance(node, dict):
        init = node.get('init_cfg')
        if isinstance(init, dict) and type_name(init.get('type')) in ('Pretrained', 'PretrainedInit'):
            node['init_cfg'] = None
        for child in node.values():
            _drop_init(child)
    elif isinstance(node, list | tuple):
        for child in node:
            _drop_init(child)
