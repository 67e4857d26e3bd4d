"""Build the runner of a config, for the machine and the processes that it runs on."""

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mlic_mm.config_files.config_types import type_name
from mlic_mm.utils.choices import check_choice

from .atomic_checkpoints import write_checkpoints_atomically
from .tool_runner import ToolRunner

__all__ = ['LAUNCHERS', 'Launcher', 'build_runner', 'destroy_process_group']

Launcher = Literal['none', 'pytorch', 'slurm', 'mpi']
LAUNCHERS = get_args(Launcher)
GUARDS = dict(label_check='LabelCheckHook', known_labels='KnownLabelsHook', sync_buffers='SyncBuffersHook')
"""Hooks without which figures are wrong silently. Configs on other bases get them too; None leaves one out."""
BUILT_IN = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
"""Default hooks of mmengine."""

_runs = 0
"""Runners that this process has built."""


def build_runner(cfg: Config, launcher: Launcher) -> Runner:
    """Build the runner of a config, after its loaders, hooks and processes are fitted to the machine.

    Args:
        cfg: A whole config. It is changed.
        launcher: What started the processes; ``none`` means that there is one.

    Raises:
        ValueError: Both ``data_preprocessor`` and ``model.data_preprocessor`` are set, of which mmengine ignores the
            first; or an unknown launcher, or one that needs a GPU on a machine without.
    """
    check_choice('launcher', launcher, LAUNCHERS)
    if cfg.get('data_preprocessor') and cfg.model.get('data_preprocessor'):
        raise ValueError(
            'data_preprocessor and model.data_preprocessor are both set, and mmengine would use the latter alone, '
            f'{cfg.model.data_preprocessor.to_dict()}: write all of it in one of them'
        )
    _complete_loaders(cfg)
    _complete_hooks(cfg)
    cfg.launcher = launcher
    if launcher != 'none' and get_device() == 'cpu':
        _connect_cpu_processes(cfg, launcher)
    write_checkpoints_atomically()
    global _runs
    _runs += 1
    if _runs > 1 and not cfg.get('experiment_name'):
        # mmengine keeps a logger for each name, and names a run by the second of its start.
        cfg.experiment_name = f'{Path(cfg.filename or "run").stem}_{_runs}'
    return RUNNERS.build(cfg) if 'runner_type' in cfg else ToolRunner.from_cfg(cfg)


def _complete_loaders(cfg: Config) -> None:
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name) is not None:
            loader = cfg[name]
            # mmpretrain's preprocessor wants stacked batches, mmdet's wants lists, which is mmengine's default.
            if cfg.get('default_scope') != 'mmdet':
                loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
            loader.setdefault('pin_memory', torch.cuda.is_available())


def _complete_hooks(cfg: Config) -> None:
    hooks = dict(cfg.get('default_hooks') or {})
    every = [*hooks.values(), *(cfg.get('custom_hooks') or [])]
    there = {type_name(hook.get('type')) for hook in every if isinstance(hook, Mapping)}
    for name, kind in GUARDS.items():
        if kind not in there:
            hooks.setdefault(name, dict(type=f'mlic_mm.{kind}'))
    # mmengine drops its own hooks when they are None, and fails on a None of anybody else's.
    cfg.default_hooks = ConfigDict({k: hook for k, hook in hooks.items() if hook is not None or k in BUILT_IN})


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


def destroy_process_group() -> None:
    """Destroy the process group. Call it when the runner is no longer in use.

    The threads of gloo end with the last object that holds their group, such as a wrapped model. Threads that are
    left may abort Python at its end.
    """
    if torch.distributed.is_initialized():
        gc.collect()  # runner, hooks and model refer to each other
        torch.distributed.destroy_process_group()
