"""Checks of a training's config before anything is built."""

import inspect
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.registry import LOOPS, OPTIMIZERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mlic_mm.cli.explain import unknown_type
from mlic_mm.config_files.config_file import ConfigError
from mlic_mm.config_files.config_types import type_class
from mlic_mm.utils.choices import did_you_mean

__all__ = ['prepare_training']

PLAIN_LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop)
"""Loops whose arguments are known. One of another package may have others."""


def prepare_training(cfg: Config) -> None:
    """Check the parts of a training; let hooks count iterations if the training has no epochs.

    Raises:
        ConfigError: Half of a validation; a part of the wrong kind; a length that is not positive; or a schedule that
            counts epochs in a training without epochs.
    """
    _check_parts(cfg)
    if _check_length(cfg):
        _count_iterations(cfg)


def _check_parts(cfg: Config) -> None:
    validation = {key: cfg.get(key) is not None for key in ('val_dataloader', 'val_cfg', 'val_evaluator')}
    if len(set(validation.values())) > 1:
        missing = next(key for key, there in validation.items() if not there)
        raise ConfigError(f'{cfg.filename} has no {missing}: give all of {", ".join(validation)}, or none (=None)')
    parts = {'optim_wrapper.optimizer': cfg.optim_wrapper.get('optimizer'), 'default_hooks': cfg.get('default_hooks')}
    for key, part in parts.items():
        if part is not None and not isinstance(part, Mapping):
            raise ConfigError(f'{cfg.filename}: {key} must be a dict(…), it is {part!r}')
    optimizer = (cfg.optim_wrapper.get('optimizer') or {}).get('type')
    if isinstance(optimizer, str) and OPTIMIZERS.get(optimizer) is None:
        raise ConfigError(f'{cfg.filename}: optim_wrapper.optimizer: {unknown_type(optimizer, OPTIMIZERS)}')


def _check_length(cfg: Config) -> bool:
    """Check ``train_cfg``. Return whether the training counts iterations."""
    for key in ('max_epochs', 'max_iters', 'val_interval', 'val_begin'):
        value = cfg.train_cfg.get(key)
        if value is not None and (isinstance(value, bool) or not (isinstance(value, int) and value > 0)):
            raise ConfigError(f'{cfg.filename}: train_cfg.{key}={value!r} must be a positive whole number')
    by_epoch = cfg.train_cfg.get('by_epoch', True)
    loop = type_class(LOOPS, cfg.train_cfg.get('type', 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'))
    by_iteration = inspect.isclass(loop) and issubclass(loop, IterBasedTrainLoop)
    if loop in PLAIN_LOOPS:
        length = 'max_iters' if by_iteration else 'max_epochs'
        if cfg.train_cfg.get(length) is None:
            raise ConfigError(
                f'{cfg.filename}: train_cfg has no {length}, the length of the training: set train_cfg.{length}'
            )
        known = [name for name in inspect.signature(loop).parameters if name not in ('runner', 'dataloader')]
        for key in cfg.train_cfg:
            if key not in (*known, 'type', 'by_epoch', '_scope_'):
                meant = did_you_mean(key, known, 1)
                raise ConfigError(f'{cfg.filename}: {loop.__name__} (train_cfg) has no argument {key!r}{meant}')
    return by_iteration


def _count_iterations(cfg: Config) -> None:
    schedules = cfg.get('param_scheduler') or []
    for index, schedule in enumerate(schedules if isinstance(schedules, list | tuple) else [schedules]):
        if isinstance(schedule, Mapping) and schedule.get('by_epoch', True):
            raise ConfigError(
                f'{cfg.filename}: param_scheduler.{index} ({schedule.get("type")}) counts epochs, and a training by '
                'iterations has none, so it would never step: set its by_epoch=False, and its lengths in iterations'
            )
    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    if saving is not None and saving.get('by_epoch'):
        raise ConfigError(
            f'{cfg.filename}: default_hooks.checkpoint.by_epoch=True, but a training by iterations has no epochs: '
            'leave it out'
        )
    if saving is not None and 'by_epoch' not in saving:
        # An interval of epochs would never come.
        saving.update(by_epoch=False, interval=min(cfg.train_cfg.get('val_interval', 1000), cfg.train_cfg.max_iters))
    cfg.log_processor = {'by_epoch': False, **(cfg.get('log_processor') or {})}
