"""The runner of our commands."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mlic_mm.utils.command_line import log_to_file
from mlic_mm.utils.import_noise import HELD_BACK

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
    """mmengine's runner, whose screen shows what a user needs; its log file has everything.

    Kept off the screen are the whole config, the environment, the order of the hooks, what other packages say while
    they are imported, and tracebacks.
    """

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """Build the logger, with a filter on what it writes to the screen."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_for_the_screen)
        while HELD_BACK:
            log_to_file(f'while importing: {HELD_BACK.pop(0)}')
        return logger


def _for_the_screen(record: logging.LogRecord) -> bool:
    return not str(record.msg).lstrip('-\n').startswith(FOR_THE_FILE)
