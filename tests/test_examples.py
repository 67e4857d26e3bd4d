"""Every example runs: parts of ours from other projects' configs, and without any config."""

import copy
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_spatial_context import NEEDS_MMDET

from mlic_mm.engine.launch import build_runner
from mlic_mm.engine.training_config import prepare_training
from mlic_mm.label_graphs.data import LabelGraphData

pytestmark = pytest.mark.process

REPO = Path(__file__).resolve().parents[1]
CLASSES = ('cat', 'dog', 'sofa')
TARGETS = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0]])


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """``data/mine`` of the examples: six pictures in which a label is a bright colour channel."""
    root = tmp_path / 'data' / 'mine'
    root.mkdir(parents=True)
    for i, row in enumerate(TARGETS):
        picture = np.full((64, 64, 3), 40, np.uint8) + (row[None, None] * 180).astype(np.uint8)
        assert cv2.imwrite(str(root / f'{i}.png'), picture)
    data_list = [dict(img_path=f'{i}.png', gt_label=np.flatnonzero(row).tolist()) for i, row in enumerate(TARGETS)]
    for split in ('train', 'val'):
        (root / f'{split}.json').write_text(json.dumps(dict(metainfo=dict(classes=CLASSES), data_list=data_list)))
    graph = LabelGraphData.from_targets(TARGETS, CLASSES)
    vectors = np.random.default_rng(0).normal(size=(3, 8))
    LabelGraphData(CLASSES, graph.counts, graph.cooccurrence, 6, 0.5, vectors).save(root / 'label_graph.npz')
    monkeypatch.chdir(tmp_path)
    return root


def test_head_loss_and_metric_from_a_plain_mmpretrain_config(mine):
    cfg = Config.fromfile(REPO / 'examples' / 'plain_mmpretrain.py')
    cfg.work_dir = str(mine.parent / 'run')
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.head.in_channels = 64
    runner = Runner.from_cfg(cfg)
    before = runner.model.head.label_graph.layers[0].linear.weight.clone()
    runner.train()
    assert not torch.equal(runner.model.head.label_graph.layers[0].linear.weight, before)
    assert 0 <= runner.val_loop.run()['mAP'] <= 100
    assert list(Path(cfg.work_dir).glob('best_mAP_*.pth'))


def test_loss_hooks_and_metric_in_a_config_of_mmpretrain(data_root, tmp_path, monkeypatch):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'VOC2007').symlink_to(data_root / 'VOCdevkit' / 'VOC2007')
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(REPO / 'examples' / 'mmpretrain_metric_hooks_loss.py')
    cfg.work_dir = str(tmp_path / 'run')
    cfg.model.backbone.update(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
    cfg.model.head.in_channels = 64
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(indices=8)
        loader.dataset.pipeline[1].scale = 64
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    counted = runner.model.head.loss_module.positive_ratio
    rows = [runner.train_dataloader.dataset.get_data_info(i)['gt_label'] for i in range(8)]
    assert counted.tolist() == [sum(label in row for row in rows) / 8 for label in range(20)]
    assert 0 <= runner.val_loop.run()['mAP'] <= 100


def run_script(name: str) -> list[str]:
    env = os.environ | {'PYTHONPATH': str(REPO)}  # the example assumes an installed package
    command = [sys.executable, REPO / 'examples' / name]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.splitlines()


def test_head_loss_and_metrics_in_a_plain_pytorch_loop():
    found = re.fullmatch(r'loss \d\.\d\d, mAP (\d+\.\d), OF1 (\d+\.\d)', run_script('plain_pytorch.py')[-1])
    assert float(found[1]) > 90
    assert float(found[2]) > 80


def test_label_graph_from_python_alone():
    assert run_script('label_graph.py')[-6:] == [  # mmpretrain may print a line of its own before
        'cat attends to cat',
        'cat attends to sofa',
        'dog attends to dog',
        'sofa attends to cat',
        'sofa attends to sofa',
        'embeddings (3, 32), scores (8, 3)',
    ]


def test_types_are_found_from_mmdet_scope(mine):
    registry = pytest.importorskip('mmdet.registry', reason='needs the detection extra: pip install -e .[detection]')
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(REPO / 'examples' / 'mmdet_scope.py')
    model = registry.MODELS.build(cfg.model)
    assert type(model.backbone).__module__.startswith('mmdet')
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 3)
    assert type(registry.METRICS.build(cfg.val_evaluator)).__name__ == 'MLICMetric'


def runner_of_our_tools(cfg: Config) -> Runner:
    """``tools/train.py`` without its command line."""
    prepare_training(cfg)
    return build_runner(cfg, 'none')


@NEEDS_MMDET
@pytest.mark.parametrize('build', [Runner.from_cfg, runner_of_our_tools])
def test_auxiliary_labels_in_a_config_of_mmdet(data_root, graphs, tmp_path, monkeypatch, build):
    from mmdet.datasets import CocoDataset

    graph_file = tmp_path / 'data' / 'label_graphs' / 'coco2014.npz'
    graph_file.parent.mkdir(parents=True)
    graph = replace(LabelGraphData.load(graphs[80]), classes=CocoDataset.METAINFO['classes'])
    graph.save(graph_file)
    (tmp_path / 'data' / 'coco').symlink_to(data_root / 'coco_mini')
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(REPO / 'examples' / 'mmdet_auxiliary_labels.py')
    cfg.work_dir = str(tmp_path / 'run')
    cfg.experiment_name = f'auxiliary labels {build.__name__}'
    cfg.model.detector.backbone.update(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
    cfg.model.detector.neck.in_channels = [8, 16, 32, 64]
    cfg.model.detector.test_cfg.rcnn.score_thr = 0.0  # CocoMetric gives nothing without any box
    cfg.model.head.in_channels = 64
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.indices = 4
        next(step for step in loader.dataset.pipeline if step.type == 'Resize').scale = (160, 128)
    cfg.train_cfg.max_epochs = 1
    runner = build(copy.deepcopy(cfg))
    assert type(runner.model).__name__ == 'FasterRCNN'
    before = runner.model.label_head.label_graph.layers[0].linear.weight.clone()
    runner.train()
    assert not torch.equal(runner.model.label_head.label_graph.layers[0].linear.weight, before)
    logged = set(runner.message_hub.log_scalars)
    assert {'train/loss_rpn_cls', 'train/loss_bbox', 'train/loss_labels', 'val/coco/bbox_mAP'} <= logged

    replace(graph, classes=graph.classes[::-1]).save(graph_file)
    with pytest.raises(ValueError, match='label graph of the model'):
        build(cfg).train()
