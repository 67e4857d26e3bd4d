"""Test a checkpoint: ``python tools/test.py CONFIG work_dirs/demo/best_mAP_epoch_5.pth --out scores.npz``."""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
from mmengine.config import Config, DictAction
from mmengine.model import is_model_wrapper

from mlic_mm.engine.launch import LAUNCHERS, build_runner, is_main_process, load_config
from mlic_mm.utils.checkpoint import forbid_code_in_checkpoints, load_checkpoint


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for logs and the report (default: work_dirs/<name of the config>)')
    parser.add_argument('--out', type=Path, help='write scores, targets and image ids to this .npz file')
    parser.add_argument('--preset', help='evaluation protocol for metrics and report (default: the one of the config)')
    parser.add_argument(
        '--report',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='write <work dir>/report/index.html (default: yes)',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on a GPU, bfloat16 on a CPU')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override the config: a.b=1 c="[1,2]"')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.out and args.out.suffix != '.npz':
        parser.error(f'--out {args.out}: scores are written as .npz, give a name that ends so')
    return args


def set_evaluators(cfg: Config, preset: str | None, scores: Path | None, overwrite: bool) -> str:
    """Set the protocol of our metrics, add the one that writes scores, and return the protocol's name."""
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ours = [evaluator for evaluator in evaluators if evaluator.get('type') == 'mlic_mm.MLICMetric']
    if preset:
        for evaluator in ours:
            evaluator.preset = preset
        if not ours:
            evaluators.append(dict(type='mlic_mm.MLICMetric', preset=preset))
    if scores:
        scores.parent.mkdir(parents=True, exist_ok=True)
        evaluators.append(dict(type='mlic_mm.DumpScores', out_file=str(scores), overwrite=overwrite))
    cfg.test_evaluator = evaluators
    return preset or next((evaluator.get('preset') for evaluator in ours if evaluator.get('preset')), 'mlgcn')


def training_curve(run: Path, report: Path) -> Path | None:
    """Join what the run that wrote the checkpoint logged; a resumed run has one log for every start."""
    logs = sorted(run.glob('*/vis_data/scalars.json'))
    if len(logs) < 2:
        return logs[0] if logs else None
    report.mkdir(parents=True, exist_ok=True)
    joined = report / 'scalars.json'
    joined.write_text(''.join(log.read_text() for log in logs))
    return joined


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    forbid_code_in_checkpoints()
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    if '://' not in args.checkpoint:
        load_checkpoint(args.checkpoint, mmap=True)  # fails now, not after the data set has been read
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.amp:
        cfg.test_cfg.fp16 = True

    report = Path(cfg.work_dir) / 'report'
    scores = args.out or (report / 'scores.npz' if args.report else None)
    preset = set_evaluators(cfg, args.preset, scores, overwrite=args.out is None)  # a file named by the user is kept
    # A folder of its own, or the runner would overwrite the config that the training left in the work dir.
    cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    runner = build_runner(cfg, args.launcher)
    runner.test()

    if args.report and is_main_process():
        from mlic_mm.evaluation import ScoreDump
        from mlic_mm.visualization import write_report

        assert scores is not None
        page = write_report(
            ScoreDump.load(scores),
            report,
            preset=preset,
            scalars=training_curve(Path(args.checkpoint).absolute().parent, report),
            model=runner.model.module if is_model_wrapper(runner.model) else runner.model,
            dataset=runner.test_dataloader.dataset,
        )
        print(f'report: {page}')


if __name__ == '__main__':
    main()
