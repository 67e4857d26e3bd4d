"""A teacher that looks at regions of 64-pixel images, untrained: config, checkpoint, images and proposals."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mlic_mm.datasets.proposals.proposal_file import write_proposal_file

CLASSES = ('blue', 'green', 'red')
REGIONS = 5

CONFIG = """
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True, num_classes=3)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
    head=dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=32, stride=32, roi_size=2),
)
pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='mlic_mm.LoadProposals', file={proposals!r}, num={regions}, fill={fill!r}),
    dict(type='Resize', scale={scale}),
    dict(type='mlic_mm.PackProposals'),
]
dataset = dict(type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root={root!r}, pipeline=pipeline)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    # Not what a teacher looks at: it must be replaced.
    dataset=dict(type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root={root!r}, pipeline=[]),
)
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset
)
"""


def write_proposals(file: Path, names: list[str], seed: int = 0) -> None:
    """Two to six boxes for each image of 48 × 60 pixels; the second image has none."""
    rng = np.random.default_rng(seed)
    entries = []
    for number, name in enumerate(names):
        count = 0 if number == 1 else 2 + number % 5
        start = rng.uniform(0, 25, (count, 2))
        boxes = np.concatenate([start, start + rng.uniform(8, 20, (count, 2))], axis=1)
        entries.append((name, (48, 60), boxes, np.sort(rng.uniform(0.1, 1, count))[::-1]))
    write_proposal_file(file, entries, dict(type='x'), dict(type='CSVMultiLabel'))


def write_teacher(
    folder: Path, *, images: int = 10, fill: str = 'recycle', scale: str = '(64, 64)', seed: int = 0
) -> tuple[Path, Path]:
    """Write images, labels, proposals, config and checkpoint into ``folder``; return the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f'{number:03}.png' for number in range(images)]
    for name in names:
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (48, 60, 3), dtype=np.uint8))
    rows = [f'{name},{CLASSES[number % 3]}' for number, name in enumerate(names)]
    (folder / 'labels.csv').write_text('\n'.join(['image,labels', *rows]) + '\n')
    write_proposals(folder / 'proposals.st', names)
    options = dict(root=str(folder), proposals=str(folder / 'proposals.st'), regions=REGIONS, fill=fill, scale=scale)
    config, checkpoint = folder / 'teacher.py', folder / 'teacher.pth'
    config.write_text(CONFIG.format(**options))
    save_weights(config, checkpoint, seed)
    return config, checkpoint


def save_weights(config: Path, checkpoint: Path, seed: int) -> None:
    """Weights that spread the logits, so that regions and labels differ."""
    cfg = Config.fromfile(config)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor))
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(0, 1)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))), checkpoint)
