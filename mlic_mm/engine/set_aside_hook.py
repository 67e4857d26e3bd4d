"""A hook that moves an earlier run aside when a new one begins."""

import os
import time
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from .tool_runner import ToolRunner

__all__ = ['SetAsideHook']


class SetAsideHook(Hook):
    """Move files of an earlier run into a folder of their own, when all of the new run is built and checked.

    Args:
        files: What to move, as listed before the new run was built. The list is empty afterwards.
        config: Name of the config in the work directory. It is moved as well, and then written anew.
    """

    priority = 'LOWEST'

    def __init__(self, files: list[Path], config: str) -> None:
        self.files = files
        self.config = config

    def before_train(self, runner: Runner) -> None:
        """Move the files, once."""
        if not runner.rank:
            work_dir = Path(runner.work_dir)
            if self.files:
                folder = _new_folder(work_dir / time.strftime('earlier_%Y%m%d_%H%M%S'))
                config = work_dir / self.config
                for path in [*self.files, *([config] if config.is_file() else [])]:
                    if path.name != runner.timestamp:  # the log folder of this run, if both began in one second
                        os.replace(path, folder / path.name)
                runner.logger.info(
                    f'{work_dir} held an earlier run: moved it to {folder.name} (to continue a run, give --resume)'
                )
            if isinstance(runner, ToolRunner):
                runner.write_config()
        self.files.clear()


def _new_folder(folder: Path) -> Path:
    """Make a folder of this name. If there is one, add a number."""
    free, number = folder, 1
    while free.exists():
        number += 1
        free = folder.with_name(f'{folder.name}_{number}')
    free.mkdir()
    return free
