"""What a training starts from: a checkpoint of its own, weights, or nothing."""

from contextlib import suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mlic_mm.cli.process import is_main_process
from mlic_mm.safe_load.checkpoint import find_resumable, load_checkpoint

from .resume_check import UnreadableSettingsError, compare_with_checkpoint

__all__ = ['choose_start', 'name_what_holds']

MOST_SETTINGS = 12
"""Lines about settings of a resumed training."""


def choose_start(cfg: Config, resume: str | None) -> list[Path]:
    """Write into the config what the training starts from: a checkpoint of its own, ``load_from``, or nothing.

    Args:
        cfg: Of the training. Its own ``resume=True`` counts if ``resume`` is None.
        resume: ``'auto'`` for the newest whole checkpoint of the work directory, a checkpoint, or None.

    Returns:
        Files of an earlier run, which must make way for the new one. Nothing is moved yet.

    Raises:
        FileNotFoundError, CheckpointError: See :func:`load_checkpoint`.
        ValueError: The checkpoint holds weights alone; or the training would overwrite the file it starts from.
    """
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    cfg.resume = False
    if resume is None:
        return _earlier_run(cfg)
    if resume == 'auto':
        found = _newest_checkpoint(cfg.work_dir)
        if found is None:
            return _earlier_run(cfg)
        resume = str(found)
    elif '://' not in resume and 'optimizer' not in load_checkpoint(resume, mmap=True):
        raise ValueError(
            f'checkpoint {resume} holds weights alone, no state of a training; to start a training from its weights, '
            f'give --cfg-options load_from={resume}'
        )
    cfg.resume, cfg.load_from = True, resume
    return []


def _newest_checkpoint(work_dir: str) -> Path | None:
    checkpoint, damage = find_resumable(work_dir)
    if is_main_process():
        for line in damage:
            print(f'passed over: {line}')
        none = 'whole ' if damage else ''
        print(f'resuming from {checkpoint}' if checkpoint else f'no {none}checkpoint in {work_dir}: starting anew')
    return checkpoint


def _earlier_run(cfg: Config) -> list[Path]:
    """Return checkpoints and logs of an earlier run. A new run writes files of the same names."""
    work_dir = Path(cfg.work_dir).absolute()
    checkpoints = [*work_dir.glob('*.pth'), *work_dir.glob('last_checkpoint')]
    if checkpoints and cfg.get('load_from') and Path(cfg.load_from).absolute() in checkpoints:
        raise ValueError(
            f'load_from={cfg.load_from!r} lies in the work dir that this run writes to; '
            'give another --work-dir, or --resume to continue that run'
        )
    return [*checkpoints, *(path.parent for path in work_dir.glob('*/vis_data'))] if checkpoints else []


def name_what_holds(runner: Runner) -> None:
    """Log which settings a resumed training takes from its checkpoint and which from the config.

    Raises:
        ValueError: The state of the checkpoint does not fit the config.
    """
    if not runner._resume or '://' in str(runner._load_from):
        return
    source = f'checkpoint {runner._load_from}'
    checkpoint = load_checkpoint(runner._load_from, mmap=True)
    try:
        found = compare_with_checkpoint(runner.cfg.pretty_text, checkpoint, source)
    except UnreadableSettingsError as error:  # no reason to refuse a checkpoint that is whole
        runner.logger.warning(f'{source}: its settings are not compared with those of the config, {error}')
        found = []
    for difference in found[:MOST_SETTINGS]:
        runner.logger.warning(f'resuming: {difference}')
    if len(found) > MOST_SETTINGS:
        runner.logger.warning(f'resuming: {len(found) - MOST_SETTINGS} more settings are not those of {source}')
    # The config in the next checkpoints, and in the work dir, states what holds.
    for difference in found:
        if difference.kept and difference.checkpoint != 'nothing':
            with suppress(ValueError):
                runner.cfg.merge_from_dict({difference.key: difference.value})
    done, length = checkpoint['meta'].get('epoch'), runner.cfg.train_cfg.get('max_epochs')
    if isinstance(done, int) and isinstance(length, int) and done >= length:
        runner.logger.warning(f'{source} has {done} of {length} epochs: nothing is left to train')
