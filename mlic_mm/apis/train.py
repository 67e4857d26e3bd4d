"""Train a model from a config."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mlic_mm.cli.process import is_main_process
from mlic_mm.cli.stop import find_stop, stop_status
from mlic_mm.engine.launch import Launcher, build_runner, destroy_process_group
from mlic_mm.engine.run_checks import check_monitors
from mlic_mm.engine.run_config import load_config, scale_learning_rate, set_seed, use_amp
from mlic_mm.engine.set_aside_hook import SetAsideHook
from mlic_mm.engine.training_config import prepare_training
from mlic_mm.engine.training_start import choose_start, name_what_holds
from mlic_mm.safe_load.checkpoint import find_resumable, plain_data_only
from mlic_mm.safe_load.pretrained import resolve_pretrained
from mlic_mm.utils.folder_lock import lock_folder

__all__ = ['TrainingStopped', 'train']


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C or another signal stopped a training.

    Args:
        stop: The interruption.
        work_dir: Folder of the training; None if the training had not begun.
        launcher: What started the processes.

    Attributes:
        status: Exit status of a command that ends here.
    """

    def __init__(self, stop: KeyboardInterrupt, work_dir: str | None, launcher: str) -> None:
        super().__init__(*stop.args)
        self.status = stop_status(stop)
        self.work_dir, self.launcher = work_dir, launcher

    def how_to_go_on(self, words: Sequence[str]) -> str:
        """Say how the training continues.

        Args:
            words: The words of the command that was stopped.
        """
        if self.work_dir is None:
            return '\ninterrupted before the training began: start again with the same command'
        saved, _ = find_resumable(self.work_dir)
        if saved is None:
            return '\ninterrupted before the first checkpoint: nothing to resume, start again with the same command'
        words = list(words)
        if '--resume' in words:
            at = words.index('--resume')
            del words[at : at + 2 if at + 1 < len(words) and not words[at + 1].startswith('-') else at + 1]
        command = shlex.join([*words, '--resume'])
        if self.launcher != 'none':
            command = 'the same command with --resume'
        return f'\ninterrupted; {saved.name} is saved. To continue:\n  {command}'


@plain_data_only()
def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: Launcher = 'none',
) -> Path:
    """Train a model from a config.

    An earlier run in the work directory is moved into a folder of its own there, unless the training resumes.

    Args:
        config: The config file.
        work_dir: Folder for logs and checkpoints. Defaults to that of the config, else to ``work_dirs/<its name>``.
        resume: Checkpoint to continue from, or ``'auto'``: the newest whole one of the work directory, if there is one.
        amp: Train in mixed precision: float16 on a GPU, bfloat16 on a CPU.
        auto_scale_lr: Scale the learning rate by the actual batch size over the base batch size of the config.
        seed: Seed of everything random. Defaults to that of the config.
        options: Settings of the config to override, by dotted keys.
        launcher: What started the processes, if there are several.

    Returns:
        The work directory.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ConfigError: The config cannot be read, or is not that of a whole training.
        CheckpointError: The checkpoint is damaged or holds code.
        FolderInUseError: Another training works in the work directory.
        ValueError: Something in the config cannot be built, or does not fit the checkpoint.
        TrainingStopped: Ctrl-C or another signal.

    Example:
        >>> train('configs/deeplift_demo.py', work_dir='work_dirs/demo', seed=1)  # doctest: +SKIP
        PosixPath('work_dirs/demo')
    """
    settled: Config | None = None
    earlier: list[Path] = []
    try:
        cfg = load_config(config, options, work_dir)
        if seed is not None:
            set_seed(cfg, seed)
        if amp:
            use_amp(cfg)
        if auto_scale_lr:
            scale_learning_rate(cfg)
        prepare_training(cfg)
        with lock_folder(cfg.work_dir, '.training.lock') if is_main_process() else nullcontext():
            earlier = choose_start(cfg, None if resume is None else str(resume))
            settled = cfg
            _run(cfg, launcher, earlier)
    except BaseException as error:
        stop = find_stop(error)
        if stop is None:
            raise
        # Until an earlier run is moved, the files in the work directory belong to that run.
        work_dir = None if settled is None or earlier else settled.work_dir
        raise TrainingStopped(stop, work_dir, launcher) from error
    destroy_process_group()
    return Path(cfg.work_dir)


def _run(cfg: Config, launcher: Launcher, earlier: list[Path]) -> None:
    resolve_pretrained(cfg)
    runner = build_runner(cfg, launcher)
    check_monitors(runner)
    name_what_holds(runner)
    runner.register_hook(SetAsideHook(earlier, Path(cfg.filename).name))
    runner.train()
