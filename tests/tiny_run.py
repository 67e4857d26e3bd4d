"""A training that takes seconds: four labels on 32-pixel images with random augmentation and stochastic depth.

Shared by the tests of the tools and the hooks, which run it in processes of their own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

REPO = Path(__file__).resolve().parents[1]
CLASSES = ('red', 'green', 'blue', 'bright')
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable, 'PYTHONPATH': ''}

CONFIG = """
_base_ = [{runtime!r}]
preprocess = dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=4, **preprocess),
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, drop_path_rate=0.5),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32),
)
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
load = dict(type='LoadImageFromFile')
crop = dict(type='RandomResizedCrop', scale=32)
augment = [crop, dict(type='RandomFlip', prob=0.5), dict(type='ColorJitter', hue=0.2)]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MultiLabelDataset', ann_file={data!r}, pipeline=[load, *augment, pack]),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiLabelDataset', ann_file={data!r}, pipeline=[load, pack]),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mlic_mm.MLICMetric')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
warm_up = dict(type='LinearLR', start_factor=0.1, end=5, by_epoch=False)
param_scheduler = [warm_up, dict(type='MultiStepLR', milestones=[2])]
train_cfg = dict(by_epoch=True, max_epochs=3)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
randomness = dict(seed=3)
default_hooks = dict(logger=dict(interval=1))
"""


def write_config(folder: Path, *, images: int = 11, extra: str = '') -> Path:
    """Write images, annotations and a config into ``folder`` and return the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    samples = []
    for i in range(images):
        picture = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        labels = sorted({int(label) for label in rng.integers(0, len(CLASSES), 2)} | {i % len(CLASSES)})
        cv2.imwrite(str(folder / f'{i:02}.png'), picture)
        samples.append(dict(img_path=str(folder / f'{i:02}.png'), img_id=f'{i:02}', gt_label=labels))
    data = folder / 'labels.json'
    data.write_text(json.dumps(dict(metainfo=dict(classes=CLASSES), data_list=samples)))
    config = folder / 'tiny config.py'
    runtime = str(REPO / 'configs/_base_/default_runtime.py')
    config.write_text(CONFIG.format(runtime=runtime, data=str(data)) + extra)
    return config


def run_tool(*words: object, cwd: Path, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    """Run a tool of the repository in its own process; ``words[0]`` is its name under ``tools/``."""
    tool = REPO / 'tools' / str(words[0])
    start = [sys.executable, str(tool)] if tool.suffix == '.py' else [str(tool)]
    done = subprocess.run(
        [*start, *map(str, words[1:])], cwd=cwd, env={**ENV, **env}, capture_output=True, text=True, timeout=300
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done
