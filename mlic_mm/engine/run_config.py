"""What a training and a test share: read a config and write the options of the caller into it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from mlic_mm.config_files.config_file import ConfigError, read_config, require_keys
from mlic_mm.config_files.config_types import type_class
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.choices import check_range

__all__ = ['TESTING', 'TRAINING', 'load_config', 'scale_learning_rate', 'set_seed', 'use_amp']

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


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | None,
    work_dir: str | Path | None,
    needs: Mapping[str, str] = TRAINING,
) -> Config:
    """Read a config, merge options into it and choose its work directory.

    The directory is ``work_dir``, else the one of the config, else ``work_dirs/<name of the config>``.

    Args:
        path: The config file.
        options: Settings to override, by dotted keys.
        work_dir: Folder for logs and checkpoints.
        needs: Parts that the config must have, and what each is for.

    Raises:
        FileNotFoundError: There is no such config.
        ConfigError: See :func:`read_config`; or a part of ``needs`` is missing.
        OSError: The work directory cannot be written to.
    """
    cfg = read_config(path, options)
    if cfg.get('model') is not None and not isinstance(cfg.model, Mapping):
        raise ConfigError(f'{path}: `model` must be a dict(type=…), it is {cfg.model!r}')
    require_keys(cfg, needs)
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or Path('work_dirs', Path(path).stem))
    check_can_write(Path(cfg.work_dir, 'log'))
    return cfg


def set_seed(cfg: Config, seed: int) -> None:
    """Seed everything random.

    Raises:
        ValueError: The seed does not fit into 32 bits.
    """
    check_range('seed', seed, at_least=0, below=SEEDS, whole=True)
    cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}


def scale_learning_rate(cfg: Config) -> None:
    """Scale the learning rate by the batch size over the batch size that it was chosen for.

    Raises:
        ValueError: The config does not say for which batch size its learning rate was chosen.
    """
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if not (isinstance(base, int) and base > 0):
        raise ValueError(
            f'--auto-scale-lr: {cfg.filename} does not say for which batch size its learning rate was chosen; '
            'add auto_scale_lr = dict(base_batch_size=32)'
        )
    cfg.auto_scale_lr.enable = True


def use_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 with a loss scaler on a GPU, bfloat16 on a CPU.

    Raises:
        ValueError: Mixed precision cannot replace the optimiser wrapper of the config.
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
