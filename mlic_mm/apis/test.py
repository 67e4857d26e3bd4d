"""Test a model from a config and a checkpoint."""

# ruff: noqa: PT028  (the function is no test of pytest)

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from torch import nn

from mlic_mm.cli.process import is_main_process
from mlic_mm.engine.launch import Launcher, build_runner, destroy_process_group
from mlic_mm.engine.run_config import TESTING, load_config
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.evaluation import Protocol, ScoreDump, get_protocol, shared_protocol
from mlic_mm.evaluation.scores.score_dump import check_npz_name
from mlic_mm.models import EnsembleClassifier
from mlic_mm.safe_load.checkpoint import load_checkpoint, plain_data_only
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.safe_load.pretrained import resolve_pretrained
from mlic_mm.utils.atomic_write import atomic_write, check_can_write
from mlic_mm.utils.checks import check_same_classes

from .test_time_views import AverageViewsHook, check_views, set_views

__all__ = ['test']


@plain_data_only()
def test(
    config: str | Path,
    checkpoint: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    preset: str | None = None,
    report: bool = True,
    views: Sequence[str | int] | None = None,
    amp: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: Launcher = 'none',
) -> dict[str, Any]:
    """Test a model, and write its scores, its figures and a report.

    Args:
        config: The config file.
        checkpoint: A file, or an address that begins with ``https://``. None for an ensemble whose members have theirs.
        work_dir: Folder for logs and report. Defaults to that of the config, else to ``work_dirs/<its name>``.
        out: Write scores, targets and image ids to this .npz file. An existing file is kept.
        figures: Write the figures of all metrics to this JSON file.
        preset: Evaluation protocol of metrics and report. Defaults to the one of the config.
        report: Whether to write ``<work_dir>/report/index.html``.
        views: Test-time views whose scores are averaged: ``'flip'``, sizes in pixels, or both. An empty sequence stands
            for the ``tta_pipeline`` of the config, else for mirror images. None: the image as it is.
        amp: Test in mixed precision: float16 on a GPU, bfloat16 on a CPU.
        options: Settings of the config to override, by dotted keys.
        launcher: What started the processes, if there are several.

    Returns:
        The figures of all metrics by their names.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        FileExistsError: ``out`` exists.
        ConfigError: The config cannot be read, or is not that of a whole test.
        CheckpointError: The checkpoint is damaged or holds code.
        ValueError: An option is invalid, or the checkpoint lacks a part of the model.

    Example:
        >>> figures = test('configs/deeplift_demo.py', 'work_dirs/demo/epoch_18.pth', report=False)  # doctest: +SKIP
        >>> sorted(figures)[:2]  # doctest: +SKIP
        ['CF1', 'CP']
    """
    check_views(views or ())
    cfg = load_config(config, options, work_dir, TESTING)
    if not cfg.test_evaluator:
        raise ValueError(f'{config}: test_evaluator is empty, so nothing would be measured')
    _check_outputs(out, figures)
    file = _local_file(str(checkpoint)) if checkpoint else None
    loaded = load_checkpoint(file, mmap=True) if file else None  # fails now, not after the data set has been read
    cfg.load_from, cfg.resume = None if file is None else str(file), False
    if amp:
        cfg.test_cfg.fp16 = True
    if preset:
        get_protocol(preset)  # an unknown one is named now, not after the data set has been read

    folder = Path(cfg.work_dir) / 'report'
    scores = Path(out) if out else folder / 'scores.npz' if report else None
    if scores:
        _add_score_dump(cfg, scores, overwrite=out is None)  # a file named by the user is kept
    # A folder of its own, or the runner would overwrite the config that the training left in the work dir.
    cfg.work_dir = str(Path(cfg.work_dir) / 'test')
    pipeline = cfg.test_dataloader.dataset.get('pipeline')
    if views is not None:
        set_views(cfg, views)
    weights = None if loaded is None else StoredWeights.of(loaded, f'checkpoint {checkpoint}')
    tested = _run(cfg, launcher, preset, weights, average=views is not None)
    destroy_process_group()
    if not is_main_process():
        return tested.figures
    if figures:
        with atomic_write(figures) as part:
            part.write_text(json.dumps(tested.figures, indent=2) + '\n')
    if report:
        assert scores is not None
        if views is not None:  # class maps look at one view
            tested.dataset.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        _write_report(tested, scores, folder, file)
    return tested.figures


class _Tested(NamedTuple):
    """What is left of a test, without the runner."""

    model: nn.Module
    dataset: Any
    protocol: Protocol
    figures: dict[str, Any]


def _run(cfg: Config, launcher: Launcher, preset: str | None, weights: StoredWeights | None, average: bool) -> _Tested:
    """Test, after a check that the weights have all that the model needs."""
    runner = build_runner(cfg, launcher)
    # From the built metrics: a config may name their type by a class.
    protocol = shared_protocol(runner.test_evaluator, preset)
    model = unwrap_model(runner)
    if weights is not None:
        weights.check_fit(model)
    elif not isinstance(model, EnsembleClassifier):
        raise ValueError(f'{cfg.filename}: {type(model).__name__} needs a checkpoint, give it after the config')
    dataset = runner.test_dataloader.dataset
    if isinstance(model, EnsembleClassifier) and model.classes and dataset.metainfo.get('classes'):
        check_same_classes(dataset.metainfo['classes'], model.classes, 'the test data', 'the members of the ensemble')
    if average:
        runner.register_hook(AverageViewsHook(cfg.get('tta_model') or dict(type='mmpretrain.AverageClsScoreTTA')))
    return _Tested(model, dataset, protocol, runner.test())


def _check_outputs(out: str | Path | None, figures: str | Path | None) -> None:
    if out:
        check_npz_name(Path(out))
        if Path(out).exists():
            raise FileExistsError(f'{out} exists and is kept: give another name, or move it away')
    for path in (out, figures):
        if path:
            check_can_write(path)


def _local_file(checkpoint: str) -> Path:
    """Return the file of a checkpoint, downloaded if its address is given."""
    if '://' not in checkpoint:
        return Path(checkpoint).expanduser()
    found = resolve_pretrained(dict(load_from=checkpoint))
    if not found:
        raise ValueError(f'{checkpoint}: give a file, or an address that begins with https://')
    return found[0]


def _add_score_dump(cfg: Config, scores: Path, overwrite: bool) -> None:
    """Add the metric that writes scores."""
    given = cfg.test_evaluator
    scores.parent.mkdir(parents=True, exist_ok=True)
    dump = dict(type='mlic_mm.DumpScores', out_file=str(scores), overwrite=overwrite)
    cfg.test_evaluator = [*(given if isinstance(given, list | tuple) else [given]), dump]


def _write_report(tested: _Tested, scores: Path, folder: Path, checkpoint: Path | None) -> None:
    from mlic_mm.visualization import write_report  # brings matplotlib, which no other test needs

    page = write_report(
        ScoreDump.load(scores),
        folder,
        preset=tested.protocol,
        scalars=_training_curve(checkpoint.absolute().parent, folder) if checkpoint else None,
        model=tested.model,
        dataset=tested.dataset,
    )
    print(f'report: {page}')


def _training_curve(run: Path, report: Path) -> Path | None:
    """Join the logs of the run that wrote the checkpoint. A resumed run has one log for every start."""
    logs = sorted(run.glob('*/vis_data/scalars.json'))
    if len(logs) < 2:
        return logs[0] if logs else None
    report.mkdir(parents=True, exist_ok=True)
    joined = report / 'scalars.json'
    joined.write_text(''.join(log.read_text() for log in logs))
    return joined
