"""Train a model from a config: ``python tools/train.py CONFIG --work-dir work_dirs/demo``."""

import argparse
import os
import sys

import _clone  # noqa: F401

from mlic_mm.apis.train import TrainingStopped, train
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.cli.process import is_main_process
from mlic_mm.engine.launch import LAUNCHERS


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
    parser.add_config_options()
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        train(
            args.config,
            work_dir=args.work_dir,
            resume=args.resume,
            amp=args.amp,
            auto_scale_lr=args.auto_scale_lr,
            seed=args.seed,
            options=args.options,
            launcher=args.launcher,
        )
    except TrainingStopped as stop:
        if is_main_process():
            words = sys.argv if argv is None else [__file__, *argv]
            print(stop.how_to_go_on([sys.executable, *words]), flush=True)
        return stop.status
    return 0


if __name__ == '__main__':
    sys.exit(main())
