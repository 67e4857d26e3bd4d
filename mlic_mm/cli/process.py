"""Which of several processes this is, and its log file."""

import logging
import os

from mmengine.logging import MMLogger

__all__ = ['is_main_process', 'log_to_file', 'process_name']


def is_main_process() -> bool:
    """Return whether this is rank 0, also before the processes are connected."""
    return process_name() == 'process 0'


def log_to_file(text: str, level: int = logging.INFO) -> None:
    """Write into the log file of this run and not on the screen. Without a log file, do nothing."""
    if not MMLogger._instance_dict:
        return
    logger = MMLogger.get_current_instance()
    record = logger.makeRecord(logger.name, level, __file__, 0, text, (), None)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def process_name() -> str:
    """Return the name of this process, also before the processes are connected."""
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return f'process {next((rank for rank in ranks if rank is not None), "0")}'
