"""Test a checkpoint: ``python tools/test.py CONFIG work_dirs/demo/best_mAP_epoch_5.pth --out scores.npz``.

With test-time views: ``… --tta`` (mirror images), ``… --tta flip 384 448`` (mirror images of both sizes).
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from torch import nn

from mlic_mm.apis import AverageViewsHook, view_pipeline
from mlic_mm.cli.command import CommandParser, ConfigOptions, command
from mlic_mm.engine.launch import LAUNCHERS, TESTING, build_runner, is_main_process, leave_processes, load_config
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.evaluation import Protocol, get_protocol, shared_protocol
from mlic_mm.models import EnsembleClassifier
from mlic_mm.safe_load.checkpoint import forbid_code_in_checkpoints, load_checkpoint
from mlic_mm.safe_load.checkpoint_weights import check_weights_fit
from mlic_mm.safe_load.pretrained import resolve_pretrained
from mlic_mm.utils.atomic_write import atomic_write, check_can_write
from mlic_mm.utils.checks import check_same_classes


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
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.out and args.out.suffix != '.npz':
        parser.error(f'--out {args.out}: scores are written as .npz, give a name that ends so')
    if unknown := [view for view in args.tta or [] if view != 'flip' and not (view.isdecimal() and int(view))]:
        parser.error(f'--tta {unknown[0]}: a view is flip or a size in pixels; give config and checkpoint before --tta')
    return args


def local_file(checkpoint: str) -> Path:
    """Return the file of a checkpoint, which is downloaded where its address is given.

    Raises:
        ValueError: An address of another kind than http.
    """
    if '://' not in checkpoint:
        return Path(checkpoint).expanduser()
    found = resolve_pretrained(dict(load_from=checkpoint))
    if not found:
        raise ValueError(f'{checkpoint}: give a file, or an address that begins with https://')
    return found[0]


def set_views(cfg: Config, views: list[str]) -> None:
    """Let the test data give several views of every image."""
    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        raise ValueError(f'--tta: test_dataloader.dataset ({dataset.get("type")}) has no pipeline to make views with')
    if not views and cfg.get('tta_pipeline'):
        dataset.pipeline = cfg.tta_pipeline
    else:
        sizes = [int(view) for view in views if view != 'flip']
        dataset.pipeline = view_pipeline(dataset.pipeline, flip='flip' in views or not views, sizes=sizes)


def add_score_dump(cfg: Config, scores: Path, overwrite: bool) -> None:
    """Add the metric that writes scores."""
    given = cfg.test_evaluator
    scores.parent.mkdir(parents=True, exist_ok=True)
    dump = dict(type='mlic_mm.DumpScores', out_file=str(scores), overwrite=overwrite)
    cfg.test_evaluator = [*(given if isinstance(given, list | tuple) else [given]), dump]


def training_curve(run: Path, report: Path) -> Path | None:
    """Join what the run that wrote the checkpoint logged; a resumed run has one log for every start."""
    logs = sorted(run.glob('*/vis_data/scalars.json'))
    if len(logs) < 2:
        return logs[0] if logs else None
    report.mkdir(parents=True, exist_ok=True)
    joined = report / 'scalars.json'
    joined.write_text(''.join(log.read_text() for log in logs))
    return joined


class Tested(NamedTuple):
    """What is left of a test, without the runner."""

    model: nn.Module
    dataset: Any
    protocol: Protocol
    figures: dict[str, Any]


def test(cfg: Config, args: argparse.Namespace, checkpoint: dict[str, Any] | None) -> Tested:
    """Test, and check first that the checkpoint has all that the model needs.

    Raises:
        ValueError: It has not, or there is none.
    """
    runner = build_runner(cfg, args.launcher)
    # From the built metrics: a config may name their type by a class.
    protocol = shared_protocol(runner.test_evaluator, args.preset)
    model = unwrap_model(runner)
    if checkpoint is not None:
        check_weights_fit(model, checkpoint, f'checkpoint {args.checkpoint}')
    elif not isinstance(model, EnsembleClassifier):
        raise ValueError(f'{args.config}: {type(model).__name__} needs a checkpoint, give it after the config')
    dataset = runner.test_dataloader.dataset
    if isinstance(model, EnsembleClassifier) and model.classes and dataset.metainfo.get('classes'):
        check_same_classes(dataset.metainfo['classes'], model.classes, 'the test data', 'the members of the ensemble')
    if args.tta is not None:
        runner.register_hook(AverageViewsHook(cfg.get('tta_model') or dict(type='mmpretrain.AverageClsScoreTTA')))
    return Tested(model, dataset, protocol, runner.test())


@command
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    forbid_code_in_checkpoints()
    cfg = load_config(args.config, args.cfg_options, args.work_dir, TESTING)
    if not cfg.test_evaluator:
        raise ValueError(f'{args.config}: test_evaluator is empty, so nothing would be measured')
    if args.out and args.out.exists():
        raise FileExistsError(f'{args.out} exists and is kept: give another name, or move it away')
    for path in filter(None, (args.out, args.figures)):
        check_can_write(path)
    file = local_file(args.checkpoint) if args.checkpoint else None
    checkpoint = load_checkpoint(file, mmap=True) if file else None  # fails now, not after the data set has been read
    cfg.load_from, cfg.resume = None if file is None else str(file), False
    if args.amp:
        cfg.test_cfg.fp16 = True

    report = Path(cfg.work_dir) / 'report'
    scores = args.out or (report / 'scores.npz' if args.report else None)
    if args.preset:
        get_protocol(args.preset)  # an unknown one is named now, not after the data set has been read
    if scores:
        add_score_dump(cfg, scores, overwrite=args.out is None)  # a file named by the user is kept
    # A folder of its own, or the runner would overwrite the config that the training left in the work dir.
    cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    pipeline = cfg.test_dataloader.dataset.get('pipeline')
    if args.tta is not None:
        set_views(cfg, args.tta)
    tested = test(cfg, args, checkpoint)
    leave_processes()
    if args.figures and is_main_process():
        with atomic_write(args.figures) as part:
            part.write_text(json.dumps(tested.figures, indent=2) + '\n')

    if args.report and is_main_process():
        from mlic_mm.evaluation import ScoreDump
        from mlic_mm.visualization import write_report

        assert scores is not None
        if args.tta is not None:  # class maps look at one view
            tested.dataset.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        page = write_report(
            ScoreDump.load(scores),
            report,
            preset=tested.protocol,
            scalars=training_curve(file.absolute().parent, report) if file else None,
            model=tested.model,
            dataset=tested.dataset,
        )
        print(f'report: {page}')


if __name__ == '__main__':
    main()
