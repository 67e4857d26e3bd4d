"""The config that a run is given: written, divided among GPUs, compared with an earlier one."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mlic_mm.utils.atomic_write import atomic_write

__all__ = ['compare_configs', 'share_batch', 'write_config']


def write_config(cfg: Config, path: Path) -> None:
    """Write a config, whole or not at all."""
    with atomic_write(path) as part:
        part.write_text(cfg.pretty_text, encoding='utf-8')


def share_batch(cfg: Config, gpus: int) -> None:
    """Divide the batch among GPUs, and normalise over all of it, as one GPU would.

    Raises:
        ValueError: The batch does not divide.
    """
    batch = cfg.train_dataloader.batch_size
    if batch % gpus:
        raise ValueError(f'the batch of {batch} does not divide among --gpus {gpus}: give a divisor of {batch}')
    cfg.train_dataloader.batch_size = batch // gpus
    if torch.cuda.is_available():
        cfg.sync_bn = 'torch'


def compare_configs(old: Config, new: Config) -> str:
    """Name the first keys in which two configs differ, even if one of them went through a file.

    Returns:
        An empty text if there is no difference.

    Example:
        >>> compare_configs(Config(dict(a=1, b=(1, 2))), Config(dict(a=2, b=[1, 2])))
        'a was 1, is 2'
    """

    def flat(node: Any, key: str = '') -> dict[str, str]:
        if isinstance(node, dict) and node:
            return {k: v for name, part in node.items() for k, v in flat(part, f'{key}.{name}').items()}
        return {key[1:]: json.dumps(node, default=str, sort_keys=True)}  # lists and tuples are written alike

    a, b = flat(old.to_dict()), flat(new.to_dict())
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    shown = ', '.join(f'{key} was {a.get(key, "missing")}, is {b.get(key, "missing")}' for key in keys[:2])
    return shown + (f' and {len(keys) - 2} more' if len(keys) > 2 else '')
