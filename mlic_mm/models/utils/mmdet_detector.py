"""Detectors of mmdet, or of its parts, from their configs."""

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


def build_detector(config: str | Path | Mapping[str, Any]) -> tuple[nn.Module, Config]:
    """Build a detector with initial weights, in eval mode, and return it with its whole config.

    Pretrained weights that the config names are not fetched, because a checkpoint replaces them. Names without a prefix
    belong to the config's ``default_scope``, see :func:`scope_of`. Call :func:`register_mmdet` first.

    Args:
        config: The detector's config file, a whole config, or its ``model`` alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The config has no ``model``.
    """
    if isinstance(config, Mapping):
        whole = copy.deepcopy(dict(config))
        cfg = Config(whole if 'model' in whole else dict(model=whole))
    elif Path(config).is_file():
        cfg = read_config(config)
    else:
        raise FileNotFoundError(f'config {config} not found: name the config file of a detector')
    if not (cfg.get('model') or {}).get('type'):
        raise ValueError(f'{cfg.filename or "the config"} has no model: name the config of a detector')
    _drop_init(cfg.model)
    with DefaultScope.overwrite_default_scope(scope_of(cfg)):
        return MODELS.build(cfg.model).eval(), cfg


def scope_of(cfg: Config) -> str:
    """Return the scope of names without a prefix: ``default_scope`` or, for an mmdet model alone, ``mmdet``."""
    ours = str(cfg.model.type).startswith('mlic_mm.')
    return cfg.get('default_scope') or ('mmpretrain' if ours else 'mmdet')


def dataset_of(cfg: Config) -> ConfigDict | None:
    """Return the config of a detector's test data, without its wrappers; None if there is none."""
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
