"""Test a checkpoint: ``python tools/test.py CONFIG work_dirs/demo/best_mAP_epoch_5.pth --out scores.npz``.

With test-time views: ``… --tta`` (mirror images), ``… --tta flip 384 448`` (mirror images of both sizes).
"""

import argparse
import os
from pathlib import Path

import _clone  # noqa: F401

from mlic_mm.apis.test import test
from mlic_mm.cli.command import command
from mlic_mm.cli.parser import CommandParser
from mlic_mm.engine.launch import LAUNCHERS


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; not for an ensemble whose members have theirs')
    parser.add_argument('--work-dir', help='folder for logs and the report (default: work_dirs/<name of the config>)')
    parser.add_argument('--out', type=Path, help='write scores, targets and image ids to this .npz file')
    parser.add_argument('--figures', type=Path, help='write the figures of all metrics to this .json file')
    parser.add_argument('--preset', help='evaluation protocol for metrics and report (default: the one of the config)')
    parser.add_argument(
        '--report',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='write <work dir>/report/index.html (default: yes)',
    )
    parser.add_argument(
        '--tta',
        nargs='*',
        metavar='VIEW',
        help='test-time views whose scores are averaged: flip, sizes in pixels, or both; without any, those of the '
        "config's tta_pipeline, else flip",
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on a CPU')
    parser.add_config_options()
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    test(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir,
        out=args.out,
        figures=args.figures,
        preset=args.preset,
        report=args.report,
        views=args.tta,
        amp=args.amp,
        options=args.options,
        launcher=args.launcher,
    )


if __name__ == '__main__':
    main()
