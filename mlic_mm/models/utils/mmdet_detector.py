"""Detectors from their configs and checkpoints, of mmdet or of its parts, for what uses one."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.registry import MODELS

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
