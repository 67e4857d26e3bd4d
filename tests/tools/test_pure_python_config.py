"""Configs whose types are classes, not names: every option acts on them as on names."""

import re
from pathlib import Path

import pytest
from run_tool import run_failing_tool, run_tool
from tiny_run import ToolProcess, write_config

pytestmark = pytest.mark.integration

CONFIG = """
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from mmpretrain.datasets import LoadImageFromFile, MultiLabelDataset, PackInputs, Resize
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, MultiLabelLinearClsHead, ResNet
from torch.optim import SGD

from mlic_mm.evaluation import MLICMetric
from mlic_mm.models import EnsembleClassifier

default_scope = 'mmpretrain'
model = dict(
    type=ImageClassifier,
    data_preprocessor=dict(num_classes=4, mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True),
    backbone=dict(type=ResNet, depth=18, stem_channels=4, base_channels=4),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=MultiLabelLinearClsHead, num_classes=4, in_channels=32),
)
pipeline = [dict(type=LoadImageFromFile), dict(type=Resize, scale=32), dict(type=PackInputs)]
dataset = dict(type=MultiLabelDataset, ann_file={data!r}, pipeline=pipeline)
train_dataloader = dict(batch_size=4, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=True), dataset=dataset)
val_dataloader = dict(batch_size=4, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False), dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(type=MLICMetric, preset='asl')
test_evaluator = val_evaluator
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.05))
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
default_hooks = dict(checkpoint=dict(type=CheckpointHook, save_best='mAP'), logger=dict(type=LoggerHook))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``pure.py`` and its run ``w``, trained with --amp."""
    root = tmp_path_factory.mktemp('pure')
    write_config(root / 'data')
    (root / 'pure.py').write_text(CONFIG.replace('{data!r}', repr(str(root / 'data/labels.json'))))
    run_tool('train', 'pure.py', '--amp', '--work-dir', 'w', cwd=root, CUDA_VISIBLE_DEVICES='')
    return root


def test_amp(folder: Path) -> None:
    (log,) = folder.glob('w/*/*.log')
    assert "type='mlic_mm.CPUAmpOptimWrapper'" in log.read_text()


def test_guards_come_without_our_base(folder: Path) -> None:
    """A config that inherits nothing from us has the hooks without which figures are wrong silently."""
    (log,) = folder.glob('w/*/*.log')
    for hook in ('LabelCheckHook', 'KnownLabelsHook', 'SyncBuffersHook'):
        assert hook in log.read_text()
    words = ['--work-dir', 'n', '--cfg-options', 'model.head.num_classes=5', 'model.data_preprocessor.num_classes=5']
    assert 'is made for 5 labels' in run_failing_tool('train', 'pure.py', *words, cwd=folder)


def test_preset_and_views(folder: Path) -> None:
    """One metric, with the protocol that was asked for, in the log and in the report."""
    words = ['--preset', 'guo', '--tta', 'flip', '32', '--work-dir', 't']
    output = run_tool('test', 'pure.py', 'w/epoch_1.pth', *words, cwd=folder)
    assert len(re.findall(r' mAP: ', output)) == 1
    assert 'protocol guo' in output
    assert 'protocol asl' not in output
    assert 'guo' in (folder / 't/report/index.html').read_text()


def test_an_ensemble_needs_no_checkpoint(folder: Path) -> None:
    member = "dict(config='pure.py', checkpoint='w/epoch_1.pth')"
    ensemble = f'\nmodel = dict(type=EnsembleClassifier, members=[{member}, {member}])\n'
    (folder / 'ensemble.py').write_text((folder / 'pure.py').read_text() + ensemble)
    one, both = (
        run_tool('test', *words, '--no-report', '--work-dir', 'e', cwd=folder)
        for words in (['pure.py', 'w/epoch_1.pth'], ['ensemble.py'])
    )
    figures = [re.search(r' mAP: (\S+)', output)[1] for output in (one, both)]  # type: ignore[index]
    assert figures[0] == figures[1]
    assert 'ImageClassifier needs a checkpoint' in run_failing_tool('test', 'pure.py', cwd=folder)


@pytest.mark.process
def test_the_other_tools(folder: Path) -> None:
    """Each reads the config and its data, started as users start it."""
    jobs = [
        ToolProcess('dataset_stats.py', 'pure.py', cwd=folder),
        ToolProcess('browse_dataset.py', 'pure.py', '--out', 'sheet.png', '--number', '2', cwd=folder),
        ToolProcess('build_label_graph.py', 'pure.py', '--out', 'graph.npz', cwd=folder),
        ToolProcess('cache_teacher.py', 'pure.py', 'w/epoch_1.pth', '--out', 'cache', cwd=folder),
        ToolProcess('export_student.py', 'w/epoch_1.pth', '--out', 'plain.pth', cwd=folder),
    ]
    for job in jobs:
        assert job.wait() == 0, job.output[-2000:]
