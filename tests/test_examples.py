"""Every example runs: parts of ours from other projects' configs, and without any config."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

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


def test_label_graph_from_python_alone():
    env = os.environ | {'PYTHONPATH': str(REPO)}  # the example assumes an installed package
    command = [sys.executable, REPO / 'examples' / 'label_graph.py']
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    assert output.splitlines()[-6:] == [  # mmpretrain may print a line of its own before
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
