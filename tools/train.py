"""Train a model from a config: ``python tools/train.py CONFIG --work-dir work_dirs/demo``."""

import argparse
import os
import shlex
import signal
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

if __name__ == '__main__':  # the imports below take seconds
    EARLY = '\ninterrupted before the training began: start again with the same command\n'
    stops = [number for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if (number := getattr(signal, name, None)) is not None]
    stops = [number for number in stops if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    stop_early = lambda number, _: (os.write(1, EARLY.encode()), os._exit(128 + number))  # noqa: E731
    before = {number: signal.signal(number, stop_early) for number in stops}

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
from mmengine.config import Config
from mmengine.runner import Runner

from mlic_mm.cli.command import CommandParser, ConfigOptions, command, find_stop, stop_status
from mlic_mm.engine.launch import (
    LAUNCHERS,
    SEEDS,
    build_runner,
    is_main_process,
    leave_processes,
    load_config,
    prepare_training,
    use_amp,
)
from mlic_mm.engine.resume_check import UnreadableSettingsError, compare_with_checkpoint
from mlic_mm.engine.run_checks import check_monitors
from mlic_mm.engine.tool_runner import SetAsideHook
from mlic_mm.safe_load.checkpoint import find_resumable, forbid_code_in_checkpoints, load_checkpoint
from mlic_mm.safe_load.pretrained import resolve_pretrained
from mlic_mm.utils.folder_lock import lock_folder

MOST_SETTINGS = 12
"""Lines on settings of a resumed training."""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<name of the config>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|CHECKPOINT',
        help='continue from a checkpoint; without a path from the newest intact one of the work dir, if there is one',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on a CPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate by actual / base batch size'
    )
    parser.add_argument('--seed', type=int, help='seed of everything random (default: the one of the config)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def apply_options(cfg: Config, args: argparse.Namespace) -> None:
    """Write the options of the command line into the config."""
    if args.seed is not None:
        if not 0 <= args.seed < SEEDS:
            raise ValueError(f'--seed {args.seed} must lie between 0 and {SEEDS - 1}')
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
        if not (isinstance(base, int) and base > 0):
            raise ValueError(
                f'--auto-scale-lr: {args.config} does not say for which batch size its learning rate was chosen; '
                'add auto_scale_lr = dict(base_batch_size=32)'
            )
        cfg.auto_scale_lr.enable = True


def settle_start(cfg: Config, resume: str | None) -> list[Path]:
    """Decide what the run starts from: a checkpoint of its own, ``load_from``, or nothing.

    Returns:
        Files of an earlier run that has to make way.
    """
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    cfg.resume = False
    if resume is None:
        return earlier_run(cfg)
    if resume == 'auto':
        checkpoint, damage = find_resumable(cfg.work_dir)
        if is_main_process():
            for line in damage:
                print(f'passed over: {line}')
            none = 'whole ' if damage else ''
            print(
                f'resuming from {checkpoint}' if checkpoint else f'no {none}checkpoint in {cfg.work_dir}: starting anew'
            )
        if checkpoint is None:
            return earlier_run(cfg)
        resume = str(checkpoint)
    elif '://' not in resume and 'optimizer' not in load_checkpoint(resume, mmap=True):
        raise ValueError(
            f'checkpoint {resume} holds weights alone, no state of a training; to start a training from its weights, '
            f'give --cfg-options load_from={resume}'
        )
    cfg.resume, cfg.load_from = True, resume
    return []


def name_what_holds(runner: Runner) -> None:
    """Say which settings a resumed training takes from its checkpoint and which from the config.

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


def earlier_run(cfg: Config) -> list[Path]:
    """Checkpoints and logs of an earlier run, which are to be moved out of the way: the new one writes the same names.

    Raises:
        ValueError: One of them is what the new run starts from.
    """
    work_dir = Path(cfg.work_dir).absolute()
    checkpoints = [*work_dir.glob('*.pth'), *work_dir.glob('last_checkpoint')]
    if checkpoints and cfg.get('load_from') and Path(cfg.load_from).absolute() in checkpoints:
        raise ValueError(
            f'load_from={cfg.load_from!r} lies in the work dir that this run writes to; '
            'give another --work-dir, or --resume to continue that run'
        )
    return [*checkpoints, *(path.parent for path in work_dir.glob('*/vis_data'))] if checkpoints else []


def how_to_go_on(cfg: Config | None, argv: list[str]) -> str:
    """Say how to continue a training that a signal stopped; without a config it had not begun."""
    if cfg is None:
        return '\ninterrupted before the training began: start again with the same command'
    words = [sys.executable, *argv]
    if '--resume' in words:
        at = words.index('--resume')
        del words[at : at + 2 if at + 1 < len(words) and not words[at + 1].startswith('-') else at + 1]
    saved, _ = find_resumable(cfg.work_dir)
    if saved is None:
        return '\ninterrupted before the first checkpoint: nothing to resume, start again with the same command'
    command = shlex.join([*words, '--resume'])
    if cfg.get('launcher', 'none') != 'none':
        command = 'the same command with --resume'
    return f'\ninterrupted; {saved.name} is saved. To continue:\n  {command}'


def train(cfg: Config, args: argparse.Namespace, earlier: list[Path]) -> None:
    """Build all of a training and run it."""
    resolve_pretrained(cfg)
    runner = build_runner(cfg, args.launcher)
    check_monitors(runner)
    name_what_holds(runner)
    runner.register_hook(SetAsideHook(earlier, Path(cfg.filename).name))
    runner.train()


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    settled: Config | None = None
    earlier: list[Path] = []
    try:
        forbid_code_in_checkpoints()
        cfg = load_config(args.config, args.cfg_options, args.work_dir)
        apply_options(cfg, args)
        prepare_training(cfg)
        alone = lock_folder(cfg.work_dir, '.training.lock') if is_main_process() else nullcontext()
        with alone:
            earlier = settle_start(cfg, args.resume)
            settled = cfg
            train(cfg, args, earlier)
    except BaseException as error:
        stop = find_stop(error)
        if stop is None:
            raise
        if is_main_process():
            # While an earlier run is not moved, what lies in the work directory is not of this one.
            print(
                how_to_go_on(None if earlier else settled, sys.argv if argv is None else [__file__, *argv]), flush=True
            )
        return stop_status(stop)
    leave_processes()
    return 0


if __name__ == '__main__':
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.exit(main())
