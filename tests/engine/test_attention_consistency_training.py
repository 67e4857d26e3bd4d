"""Attention consistency together with what else a training may have: each pairing is trained for some steps."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny_run import CLASSES, ToolProcess, write_config

from mlic_mm.engine.run_config import use_amp
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.registry import MODELS

# Pictures of 64 pixels have maps of 2 × 2 and, scaled, of 1 × 1.
CONSISTENCY = """
flip = dict(type='mlic_mm.FlipView')
scale = dict(type='mlic_mm.ScaleView', size=32)
views = [flip, scale, dict(type='mlic_mm.ComposeView', views=[flip, scale])]
model.update(
    type='mlic_mm.MultiLabelClassifier',
    objectives=dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=views)),
)
model['head']['loss'] = dict(type='mlic_mm.WeightedBCELoss')
custom_hooks = [dict(type='mlic_mm.PositiveRatioHook')]
crop['scale'] = 64
train_cfg['max_epochs'] = 2
"""


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp('data'), extra=CONSISTENCY)


def losses(folder: Path) -> list[dict[str, Any]]:
    (log,) = folder.glob('**/vis_data/scalars.json')
    return [entry for entry in map(json.loads, log.read_text().splitlines()) if 'loss_consistency' in entry]


def check(runner: Runner) -> None:
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    logged = losses(Path(runner.work_dir))
    assert len(logged) == 6  # two epochs of three batches
    assert all(np.isfinite(entry['loss']) and entry['loss_consistency'] > 0 for entry in logged)
    after = runner.model.state_dict()
    assert not torch.equal(before['backbone.conv1.weight'], after['backbone.conv1.weight'])
    assert not torch.equal(before['head.loss_module.positive_ratio'], after['head.loss_module.positive_ratio'])


@pytest.mark.integration
def test_mixup(runner: Callable[..., Runner]) -> None:
    def change(cfg: Config) -> None:
        cfg.model.data_preprocessor.type = 'mlic_mm.MultiLabelDataPreprocessor'
        cfg.model.data_preprocessor.to_onehot = True
        cfg.model.train_cfg = dict(augments=dict(type='mlic_mm.MixupOR'))
        cfg.custom_hooks.append(dict(type='mlic_mm.AlternateBatchAugmentHook', start=1))

    check(runner(change))


@pytest.mark.integration
def test_deep_lift(runner: Callable[..., Runner], tmp_path: Path) -> None:
    targets = np.random.default_rng(0).integers(0, 2, (30, len(CLASSES)))
    graph = LabelGraphData.from_targets(targets, CLASSES, threshold=0.3)
    vectors = np.eye(len(CLASSES), 8)
    LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 30, 0.3, vectors).save(tmp_path / 'graph.npz')

    def change(cfg: Config) -> None:
        cfg.model.neck = None
        graph = dict(type='mlic_mm.LabelGraph', graph=str(tmp_path / 'graph.npz'), hidden_channels=[16])
        cfg.model.head = dict(
            type='mlic_mm.DeepLIFTHead', num_classes=4, in_channels=32, label_graph=graph, loss=cfg.model.head.loss
        )

    check(runner(change))


@pytest.mark.integration
def test_csra(runner: Callable[..., Runner]) -> None:
    def change(cfg: Config) -> None:
        cfg.model.neck = None
        cfg.model.head = dict(
            type='CSRAClsHead', num_classes=4, in_channels=32, num_heads=2, lam=0.1, loss=cfg.model.head.loss
        )

    check(runner(change))


@pytest.mark.integration
def test_ema(runner: Callable[..., Runner]) -> None:
    built = runner(lambda cfg: cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1)))
    check(built)
    stored = torch.load(Path(built.work_dir) / 'epoch_2.pth', weights_only=False)
    ratio = stored['state_dict']['head.loss_module.positive_ratio']
    assert len(ratio) == 4
    # mmengine stores the running weights under another name; they hold the ratios too.
    assert torch.equal(stored['ema_state_dict']['module.head.loss_module.positive_ratio'], ratio)


@pytest.mark.integration
def test_amp(runner: Callable[..., Runner]) -> None:
    check(runner(use_amp))


@pytest.mark.integration
def test_translation_and_rotation_with_warm_up_at_feature_level(runner: Callable[..., Runner]) -> None:
    def change(cfg: Config) -> None:
        turned = dict(type='mlic_mm.Rotate90View')
        objective = cfg.model.objectives.consistency
        objective.views = [dict(type='mlic_mm.TranslateView', x=32), turned]
        objective.loss = dict(type='mlic_mm.AttentionConsistencyLoss', level='feature')
        hook = dict(type='mlic_mm.LossWarmupHook', module='objectives.consistency.loss', iters=4)
        cfg.custom_hooks.append(hook)

    check(runner(change))


@pytest.mark.integration
def test_its_inconsistency_is_measured_and_the_plain_classifier_takes_its_weights(
    runner: Callable[..., Runner], tmp_path: Path
) -> None:
    trained = runner()
    trained.train()

    def measure(cfg: Config) -> None:
        cfg.load_from = str(Path(trained.work_dir) / 'epoch_2.pth')
        cfg.work_dir = str(tmp_path / 'measured')
        cfg.experiment_name = 'measured'
        cfg.model.objectives.consistency.measure = True
        cfg.test_evaluator = [dict(type='mlic_mm.MLICMetric'), dict(type='mlic_mm.AttentionInconsistency')]
        pipeline = cfg.test_dataloader.dataset.pipeline
        pipeline.insert(1, dict(type='Resize', scale=64))

    def plain(cfg: Config) -> None:
        measure(cfg)
        cfg.work_dir = str(tmp_path / 'plain')
        cfg.experiment_name = 'plain'
        cfg.model.type = 'ImageClassifier'
        cfg.model.pop('objectives')
        cfg.test_evaluator = cfg.test_evaluator[:1]

    figures, others = runner(measure).test(), runner(plain).test()
    assert figures['mAP'] == others['mAP']
    assert {name for name in figures if name.startswith('inconsistency')} == {
        'inconsistency_flip',
        'inconsistency_scale_32',
        'inconsistency_flip+scale_32',
    }
    assert all(value > 0 for name, value in figures.items() if 'inconsistency' in name)


@pytest.mark.process
def test_two_processes(tmp_path: Path) -> None:
    """Each process has half of every batch; ratios are those of all images; what is frozen stays as it was."""
    freeze = "custom_hooks.append(dict(type='mlic_mm.UnfreezeHook', modules=['backbone.layer1']))\n"
    config = write_config(tmp_path / 'data', extra=f'{CONSISTENCY}{freeze}find_unused_parameters = True\n')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config.fromfile(config).model)
    start = model.state_dict()
    torch.save(dict(state_dict=start), tmp_path / 'start.pth')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
    words = ['data/tiny config.py', '--launcher', 'pytorch', '--work-dir', 'two', '--cfg-options']
    words += ['train_dataloader.batch_size=2', 'train_cfg.max_epochs=1', 'load_from=start.pth']
    ranks = [
        ToolProcess('train.py', *words, cwd=tmp_path, RANK=str(rank), LOCAL_RANK=str(rank), **world) for rank in (0, 1)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]
    assert len(losses(tmp_path / 'two')) == 3
    end = torch.load(tmp_path / 'two/epoch_1.pth', weights_only=False)['state_dict']
    labels = [sample['gt_label'] for sample in json.loads((tmp_path / 'data/labels.json').read_text())['data_list']]
    shares = [sum(c in label for label in labels) / len(labels) for c in range(4)]
    assert end['head.loss_module.positive_ratio'].tolist() == pytest.approx(shares)
    assert all(torch.equal(start[key], end[key]) for key in start if key.startswith('backbone.layer1.'))
    assert not torch.equal(start['backbone.layer2.0.conv1.weight'], end['backbone.layer2.0.conv1.weight'])
