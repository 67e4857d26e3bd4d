"""The runner of our commands."""

import logging
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mlic_mm.cli.process import log_to_file
from mlic_mm.config_files.import_noise import HELD_BACK, hold_back_noise

from .unwrap_model import unwrap_model

__all__ = ['ToolRunner']

FOR_THE_FILE = (
    'Config:\n',
    'System environment:',
    'Hooks will be executed in the following order',
    'Distributed training is not used, all SyncBatchNorm',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'paramwise_options -- ',
    'backbone feature_info[',
)
"""How messages begin that no user acts on."""


class ToolRunner(Runner):
    """mmengine's runner with a screen that shows what a user needs. The log file has everything.

    The screen does not show the whole config, the environment, the order of the hooks, messages of other packages while
    they are imported, and tracebacks.
    """

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """Build the logger, with a filter for the screen."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_for_the_screen)
        while HELD_BACK:
            log_to_file(f'while importing: {HELD_BACK.pop(0)}')
        return logger

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint without naming the kind of its storage."""
        with hold_back_noise():
            checkpoint = super().load_checkpoint(*args, **kwargs)
        while HELD_BACK:
            log_to_file(HELD_BACK.pop(0))
        return checkpoint

    def dump_config(self) -> None:
        """Do nothing yet: a run that cannot be built must leave the config of an earlier one in the work directory."""

    def write_config(self) -> None:
        """Write the config into the work directory."""
        super().dump_config()

    def _maybe_compile(self, target: str) -> None:
        """Compile the loss of the model if the config has ``compile``: True, or options of ``torch.compile``.

        mmengine compiles the whole training step, with batch augments and their random numbers, hooks and the
        optimiser. ``fullgraph=True`` cannot work then.
        """
        options = self.cfg.get('compile')
        if options is None or options is False:
            return
        model: Any = unwrap_model(self)
        model.loss = torch.compile(model.loss, **({} if options is True else options))
        self.logger.info('the loss of the model is compiled: the first iterations take long')

    def test(self) -> dict[str, float]:
        """Write the config and test."""
        self.write_config()
        return super().test()


def _for_the_screen(record: logging.LogRecord) -> bool:
    return not str(record.msg).lstrip('-\n').startswith(FOR_THE_FILE)
