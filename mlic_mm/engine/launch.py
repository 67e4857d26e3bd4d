"""What tools/train.py and tools/test.py share: read a config and fit it to the machine it runs on."""

import gc
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import LOOPS, OPTIM_WRAPPERS, OPTIMIZERS, RUNNERS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mlic_mm.cli.command import is_main_process
from mlic_mm.cli.explain import unknown_type
from mlic_mm.config_files.config_file import ConfigError, read_config, require_keys
from mlic_mm.config_files.config_types import type_class, type_name
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.choices import did_you_mean

from .atomic_checkpoints import write_checkpoints_atomically
from .tool_runner import ToolRunner

__all__ = ['build_runner', 'is_main_process', 'leave_processes', 'load_config', 'prepare_training', 'use_amp']

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
TRAINING = {
    'model': 'the model to train',
    'train_dataloader': 'the data to train on',
    'train_cfg': 'how long to train',
    'optim_wrapper': 'how to optimise',
}
TESTING = {
    'model': 'the model to test',
    'test_dataloader': 'the data to test on',
    'test_cfg': 'how to test (test_cfg=dict())',
    'test_evaluator': 'what to measure',
}
SEEDS = 2**32
GUARDS = dict(label_check='LabelCheckHook', known_labels='KnownLabelsHook', sync_buffers='SyncBuffersHook')
"""Hooks without which figures are wrong silently. Configs on other bases get them too; None leaves one out."""


def load_config(
    path: str | Path, options: dict[str, Any] | None, work_dir: str | None, needs: Mapping[str, str] = TRAINING
) -> Config:
    """Read a config, merge ``--cfg-options`` into it and settle its work directory.

    The directory is, in this order: ``work_dir``, the config's own, ``work_dirs/<name of the config>``.

    Raises:
        FileNotFoundError: No such config.
        ConfigError: See :func:`read_config`; or a part named in ``needs`` is missing.
        OSError: The work directory cannot be written to.
    """
    cfg = read_config(path, options)
    if cfg.get('model') is not None and not isinstance(cfg.model, Mapping):
        raise ConfigError(f'{path}: `model` must be a dict(type=…), it is {cfg.model!r}')
    require_keys(cfg, needs)
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))
    check_can_write(Path(cfg.work_dir, 'log'))
    return cfg


def use_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 with a loss scaler on a GPU, bfloat16 on a CPU.

    Raises:
        ValueError: The config has an optimiser wrapper of a kind that mixed precision cannot take the place of.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    built = type_class(OPTIM_WRAPPERS, kind)
    if built is OptimWrapper:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    elif built is not OPTIM_WRAPPERS.get('AmpOptimWrapper'):
        raise ValueError(
            f'--amp: optim_wrapper.type={kind} is of another kind; leave out --amp or set type=OptimWrapper'
        )
    if get_device() == 'cpu':
        # mmengine's wrapper refuses to run without a GPU, though autocast does.
        cfg.optim_wrapper.type = 'mlic_mm.CPUAmpOptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
        cfg.optim_wrapper.pop('dtype', None)


def prepare_training(cfg: Config) -> None:
    """Check the length of a training, and let hooks count iterations where the training has no epochs.

    Raises:
        ConfigError: A length that is not positive; or a schedule that counts epochs where there are none.
    """
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
    for key in ('max_epochs', 'max_iters', 'val_interval', 'val_begin'):
        value = cfg.train_cfg.get(key)
        if value is not None and (isinstance(value, bool) or not (isinstance(value, int) and value > 0)):
            raise ConfigError(f'{cfg.filename}: train_cfg.{key}={value!r} must be a positive whole number')
    kind = cfg.train_cfg.get(
        'type', 'EpochBasedTrainLoop' if cfg.train_cfg.get('by_epoch', True) else 'IterBasedTrainLoop'
    )
    loop = type_class(LOOPS, kind)
    by_iteration = inspect.isclass(loop) and issubclass(loop, IterBasedTrainLoop)
    length = 'max_iters' if by_iteration else 'max_epochs'
    if cfg.train_cfg.get(length) is None and loop in (EpochBasedTrainLoop, IterBasedTrainLoop):
        raise ConfigError(
            f'{cfg.filename}: train_cfg has no {length}, the length of the training: set train_cfg.{length}'
        )
    if loop in (EpochBasedTrainLoop, IterBasedTrainLoop):
        known = [name for name in inspect.signature(loop).parameters if name not in ('runner', 'dataloader')]
        for key in cfg.train_cfg:
            if key not in (*known, 'type', 'by_epoch'):
                meant = did_you_mean(key, known, 1)
                raise ConfigError(f'{cfg.filename}: {loop.__name__} (train_cfg) has no argument {key!r}{meant}')
    if not by_iteration:
        return
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


def build_runner(cfg: Config, launcher: str) -> Runner:
    """Build the runner of a config after fitting loaders, hooks and processes to the machine.

    Raises:
        ValueError: Both ``data_preprocessor`` and ``model.data_preprocessor``, of which mmengine ignores the first.
    """
    if cfg.get('data_preprocessor') and cfg.model.get('data_preprocessor'):
        raise ValueError(
            'data_preprocessor and model.data_preprocessor are both set, and mmengine would use the latter alone, '
            f'{cfg.model.data_preprocessor.to_dict()}: write all of it in one of them'
        )
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name) is not None:
            loader = cfg[name]
            # mmpretrain's preprocessor wants stacked batches; mmengine's default leaves lists.
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
            loader.setdefault('pin_memory', torch.cuda.is_available())
    # mmengine drops its own hooks when they are None, and fails on a None of anybody else's.
    builtin = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
    hooks = dict(cfg.get('default_hooks') or {})
    every = [*hooks.values(), *(cfg.get('custom_hooks') or [])]
    there = {type_name(hook.get('type')) for hook in every if isinstance(hook, Mapping)}
    for name, kind in GUARDS.items():
        if kind not in there:
            hooks.setdefault(name, dict(type=f'mlic_mm.{kind}'))
    cfg.default_hooks = ConfigDict({k: hook for k, hook in hooks.items() if hook is not None or k in builtin})
    cfg.launcher = launcher
    if launcher != 'none' and get_device() == 'cpu':
        _connect_cpu_processes(cfg, launcher)
    write_checkpoints_atomically()
    return RUNNERS.build(cfg) if 'runner_type' in cfg else ToolRunner.from_cfg(cfg)


def _connect_cpu_processes(cfg: Config, launcher: str) -> None:
    """Connect the processes ourselves: mmengine sets a CUDA device first, whatever the backend."""
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher {launcher} needs a GPU for every process; without one use --launcher pytorch '
            '(tools/dist_train.sh, tools/dist_test.sh), which connects by gloo'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,  # as mmengine's own choice
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


def leave_processes() -> None:
    """End the connection to the other processes, when the runner is no longer in use.

    The threads of gloo end with the last object that holds their group, such as a wrapped model. Those that are left
    may abort Python when it ends.
    """
    if torch.distributed.is_initialized():
        gc.collect()  # runner, hooks and model refer to each other
        torch.distributed.destroy_process_group()
