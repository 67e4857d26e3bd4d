"""What tools/train.py and tools/test.py share: read a config and fit it to the machine it runs on."""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

__all__ = ['build_runner', 'is_main_process', 'leave_processes', 'load_config', 'use_amp']

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def is_main_process() -> bool:
    """Whether this is rank 0, also before the processes are connected."""
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return next((rank for rank in ranks if rank is not None), '0') == '0'


def load_config(path: str | Path, options: dict[str, Any] | None, work_dir: str | None) -> Config:
    """Read a config, merge ``--cfg-options`` into it and settle its work directory.

    The directory is, in this order: ``work_dir``, the config's own, ``work_dirs/<name of the config>``.
    """
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options or {})
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(path).stem))
    return cfg


def use_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 with a loss scaler on a GPU, bfloat16 on a CPU."""
    if cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if get_device() == 'cpu':
        # mmengine's wrapper refuses to run without a GPU, though autocast does.
        cfg.optim_wrapper.type = 'mlic_mm.CPUAmpOptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
        cfg.optim_wrapper.pop('dtype', None)


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
    hooks = cfg.get('default_hooks') or {}
    cfg.default_hooks = ConfigDict({k: hook for k, hook in hooks.items() if hook is not None or k in builtin})
    cfg.launcher = launcher
    if launcher != 'none' and get_device() == 'cpu':
        _connect_cpu_processes(cfg, launcher)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


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
        **cfg.get('model_wrapper_cfg', {}),
        'device_ids': None,
    }


def leave_processes() -> None:
    """Take leave of the other processes; a group that is still open when Python ends may abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
