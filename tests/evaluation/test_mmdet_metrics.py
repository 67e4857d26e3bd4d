"""mmdet's metrics on the boxes of a weakly supervised detector, in one test run with ours."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from mlic_mm.datasets import COCOMultiLabel, VOCMultiLabel
from mlic_mm.datasets.proposals.proposal_file import write_proposal_file

META_KEYS = ('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'instances')
EVALUATORS = [
    dict(type='mlic_mm.MLICMetric', preset='liu'),
    dict(type='mlic_mm.CorLoc'),
    dict(type='mmdet.VOCMetric', eval_mode='area'),
    dict(type='mmdet.CocoMetric'),
]

NEEDS_MMDET = pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
pytestmark = [pytest.mark.integration, NEEDS_MMDET]


def data_config(which: str, data_root: Path) -> dict:
    """The first images of a data set with boxes."""
    if which == 'voc':
        config = dict(type='mlic_mm.VOCMultiLabel', data_root=str(data_root / 'VOCdevkit/VOC2007'), split='test')
    else:
        config = dict(
            type='mlic_mm.COCOMultiLabel',
            ann_file='annotations/instances_val2017.json',
            data_root=str(data_root / 'coco_mini'),
            data_prefix='val2017',
        )
    return config | dict(with_boxes=True, test_mode=True, indices=12)


def write_proposals(config: dict, path: Path) -> None:
    """Of every image its objects and the whole image, in pixels of the file."""
    kind = dict(VOCMultiLabel=VOCMultiLabel, COCOMultiLabel=COCOMultiLabel)[config['type'].split('.')[1]]
    data = kind(
        **{key: value for key, value in config.items() if key != 'type'}, pipeline=[dict(type='mlic_mm.LoadImage')]
    )
    entries = []
    for i in range(len(data)):
        sample = data[i]
        height, width = sample['ori_shape']
        boxes = np.array([[0, 0, width, height], *(o['bbox'] for o in sample['instances'])])
        entries.append((sample['img_id'], (height, width), boxes, np.linspace(1, 0.1, len(boxes))))
    write_proposal_file(path, entries, dict(type='objects'), dict(type=config['type'].split('.')[1]))


def run(which: str, data_root: Path, folder: Path, evaluators: list[dict]) -> tuple[dict, Any]:
    """Test a small network with random weights."""
    config = data_config(which, data_root)
    write_proposals(config, folder / 'p.st')
    config['pipeline'] = [
        dict(type='mlic_mm.LoadImage'),
        dict(type='mlic_mm.LoadProposals', file=str(folder / 'p.st'), num=8, fill='keep'),
        dict(type='Resize', scale=(96, 64)),
        dict(type='mlic_mm.PackProposals', meta_keys=META_KEYS),
    ]
    runner = Runner(
        model=ConfigDict(
            type='ImageClassifier',
            data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
            backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
            head=dict(
                type='mlic_mm.WSDDNHead',
                num_classes=20 if which == 'voc' else 80,
                in_channels=64,
                stride=32,
                test_cfg=dict(boxes=True),
            ),
        ),
        work_dir=str(folder),
        test_dataloader=dict(
            batch_size=4, num_workers=0, dataset=config, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        test_cfg=dict(),
        test_evaluator=evaluators,
        default_scope='mmpretrain',
        randomness=dict(seed=0),
        experiment_name=f'{which}_{len(evaluators)}',
    )
    return runner.test(), runner


@pytest.mark.parametrize('which', ['voc', 'coco'])
def test_one_test_run_for_labels_and_boxes(which: str, data_root: Path, tmp_path: Path) -> None:
    figures, runner = run(which, data_root, tmp_path, EVALUATORS)
    for name, most in [('mAP', 100), ('CorLoc', 100), ('pascal_voc/AP50', 1), ('coco/bbox_mAP_50', 1)]:
        assert 0 <= figures[name] <= most, name
    # Its proposals are the objects, so even a random network finds some.
    assert figures['CorLoc'] > 0
    sample = runner.model.test_step(runner.test_dataloader.collate_fn([runner.test_dataloader.dataset[0]]))[0]
    assert sample.regions.scores.diff().le(0).all()
    # Boxes are the proposals in pixels of the file, not of the network's input: the objects and the whole image.
    height, width = sample.ori_shape
    proposals = torch.tensor([[0, 0, width, height], *(o['bbox'] for o in sample.instances)])
    for found in (sample.pred_instances, sample.regions):
        off = (found.bboxes[:, None] - proposals).abs().amax(2).amin(1)
        assert len(off)
        assert off.max() < 0.05


@pytest.mark.parametrize('which', ['voc', 'coco'])
@pytest.mark.parametrize('shift', [0, 1000])
def test_figures_of_perfect_and_of_useless_boxes(which: str, shift: int, data_root: Path) -> None:
    """The objects themselves as detections, and elsewhere; every metric counts in its own way, all agree here."""
    config = data_config(which, data_root)
    pipeline = [
        dict(type='mlic_mm.LoadImage'),
        dict(type='PackInputs', meta_keys=META_KEYS),
    ]
    kind = VOCMultiLabel if which == 'voc' else COCOMultiLabel
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = kind(**{key: value for key, value in config.items() if key != 'type'}, pipeline=pipeline)
        evaluator = Evaluator(EVALUATORS[1:])
    evaluator.dataset_meta = data.metainfo
    for i in range(len(data)):
        sample = data[i]['data_samples']
        for field, flag in (('gt_instances', 0), ('ignored_instances', 1)):
            objects = [o for o in sample.instances if o['ignore_flag'] == flag]
            boxes = torch.tensor([o['bbox'] for o in objects]).reshape(-1, 4)
            labels = torch.tensor([o['bbox_label'] for o in objects], dtype=torch.long)
            sample.set_field(InstanceData(bboxes=boxes, labels=labels), field)
        found = sample.gt_instances
        sample.pred_instances = InstanceData(
            bboxes=found.bboxes + shift, labels=found.labels, scores=torch.linspace(1, 0.5, len(found.labels))
        )
        evaluator.process([sample])
    figures = evaluator.evaluate(len(data))
    perfect = float(shift == 0)
    assert figures['CorLoc'] == 100 * perfect
    assert figures['pascal_voc/mAP'] == figures['coco/bbox_mAP_50'] == figures['coco/bbox_mAP'] == perfect
