"""Data, head, label graph and checkpoint must mean the same labels in the same order."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

pytestmark = pytest.mark.integration

BuildRunner = Callable[..., Runner]
CHECK_ONLY: dict[str, Any] = dict(train_cfg__max_epochs=0, param_scheduler=None)


def relabel(classes: list[str], folder: Path) -> Callable[[Config], None]:
    """Give the validation data other label names."""

    def change(cfg: Config) -> None:
        data = json.loads(Path(cfg.val_dataloader.dataset.ann_file).read_text())
        data['metainfo']['classes'] = classes
        (folder / 'other.json').write_text(json.dumps(data))
        cfg.val_dataloader.dataset.ann_file = str(folder / 'other.json')

    return change


def test_head_of_another_number(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=r"MultiLabelLinearClsHead.* made for 5 labels .*has 4, 'red' … 'bright'.*=4"):
        runner(model__head__num_classes=5).train()


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (['red', 'blue', 'green', 'bright'], "differ at index 1: validation .* has 'blue' where training .* 'green'"),
        (['red', 'green', 'blue'], '3 labels in validation .* but 4 in training'),
    ],
)
def test_validation_data_of_other_labels(runner: BuildRunner, tmp_path: Path, classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner(relabel(classes, tmp_path)).train()


def test_validation_data_without_any_label(runner: BuildRunner, tmp_path: Path) -> None:
    """It would stop the training after the first epoch."""

    def empty(cfg: Config) -> None:
        data = json.loads(Path(cfg.val_dataloader.dataset.ann_file).read_text())
        for sample in data['data_list']:
            sample['gt_label'] = []
        (tmp_path / 'empty.json').write_text(json.dumps(data))
        cfg.val_dataloader.dataset.ann_file = str(tmp_path / 'empty.json')

    with pytest.raises(ValueError, match=r'validation .*: none of the \d+ images has a label .*val_evaluator=None'):
        runner(empty).train()


def test_label_graph_of_another_order(runner: BuildRunner) -> None:
    built = runner()
    built.model.head.label_graph = nn.Identity()
    built.model.head.label_graph.classes = ('red', 'green', 'bright', 'blue')
    with pytest.raises(ValueError, match=r"index 2: label graph of the model .* 'bright' where training .* 'blue'"):
        built.train()


def test_teacher_of_another_order(runner: BuildRunner, tiny_config: Path, tmp_path: Path) -> None:
    """A student that is taught other labels would learn them without a word."""
    checkpoint = tmp_path / 'teacher.pth'
    weights = runner().model.state_dict()
    meta = dict(dataset_meta=dict(classes=('red', 'green', 'bright', 'blue')))
    torch.save(dict(state_dict=weights, meta=meta), checkpoint)

    def distil(cfg: Config) -> None:
        cfg.model.type = 'mlic_mm.MultiLabelClassifier'
        losses = dict(soft=dict(type='mlic_mm.HintonDistillLoss'))
        teacher = dict(config=str(tiny_config), checkpoint=str(checkpoint))
        cfg.model.objectives = dict(second=dict(type='mlic_mm.Distillation', teacher=teacher, losses=losses))

    where = r'teacher of the model \(model\.objectives\.second\.teacher\)'
    with pytest.raises(ValueError, match=rf"index 2: {where} .* 'bright' where training .* 'blue'"):
        runner(distil).train()


def test_cached_teacher_of_another_order(runner: BuildRunner) -> None:
    built = runner()
    load: Any = nn.Identity()
    load.classes = ('red', 'green', 'bright', 'blue')  # as LoadTeacher states those of its cache
    built.train_dataloader.dataset.pipeline.transforms.insert(0, load)
    with pytest.raises(ValueError, match=r"index 2: Identity of its pipeline has 'bright' where training .* 'blue'"):
        built.train()


@pytest.mark.parametrize(('number', 'fits'), [(4, True), (3, False)])
def test_head_that_keeps_no_number_is_read_off_its_layers(runner: BuildRunner, number: int, fits: bool) -> None:
    head = dict(_delete_=True, type='CSRAClsHead', num_classes=number, in_channels=32, num_heads=2, lam=0.1)
    built = runner(model__head=head, model__neck=None, **CHECK_ONLY)
    assert not hasattr(built.model.head, 'num_classes')
    if fits:
        built.train()
    else:
        with pytest.raises(ValueError, match=r'CSRAClsHead\) is made for 3 labels \(csra_heads.1.head\)'):
            built.train()


def test_what_cannot_be_checked_is_said(runner: BuildRunner, tmp_path: Path) -> None:
    built = runner(model__head=dict(_delete_=True, type='MultiLabelClsHead'), **CHECK_ONLY)
    built.train()
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert 'MultiLabelClsHead has neither num_classes nor a layer: its labels are not checked' in log.read_text()


def test_fine_tuning_may_start_from_other_labels_and_resuming_may_not(runner: BuildRunner, tmp_path: Path) -> None:
    weights = runner().model.state_dict()
    weights['head.fc.weight'], weights['head.fc.bias'] = torch.zeros(2, 32), torch.zeros(2)
    meta = dict(epoch=1, iter=3, dataset_meta=dict(classes=('cat', 'dog')))
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'other.pth')

    options = dict(load_from=str(tmp_path / 'other.pth'), **CHECK_ONLY)
    tuned = runner(**options)
    tuned.train()
    assert torch.equal(tuned.model.backbone.conv1.weight.cpu(), weights['backbone.conv1.weight'].cpu())
    with pytest.raises(ValueError, match=r'2 labels in checkpoint .*other\.pth, but 4 in data set'):
        runner(resume=True, **options).train()
    with pytest.raises(ValueError, match=r'2 labels in checkpoint .*other\.pth, but 4 in data set'):
        runner(**options).test()


def test_what_objectives_learn_is_needed_to_resume_and_not_to_test(
    runner: BuildRunner, tiny_config: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=runner().model.state_dict()), teacher)

    def distil(cfg: Config) -> None:
        cfg.model.type = 'mlic_mm.MultiLabelClassifier'
        losses = dict(labels=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=4))
        teacher_cfg = dict(config=str(tiny_config), checkpoint=str(teacher))
        cfg.model.objectives = dict(teacher=dict(type='mlic_mm.Distillation', teacher=teacher_cfg, losses=losses))

    plain = tmp_path / 'plain.pth'
    runner(distil).train()
    stored = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)
    stored['state_dict'] = {k: v for k, v in stored['state_dict'].items() if not k.startswith('objectives.')}
    torch.save(stored, plain)
    assert runner(distil, load_from=str(plain)).test()['mAP'] > 0
    with pytest.raises(ValueError, match=r'plain\.pth lacks 2 of .* the first is objectives\.teacher\.losses\.labels'):
        runner(distil, load_from=str(plain), resume=True).train()
    learnt = str(tmp_path / 'work/epoch_1.pth')
    assert runner(load_from=learnt).test()['mAP'] > 0
    with pytest.raises(ValueError, match=r'has what an objective learnt .*: resume with the same objectives, or start'):
        runner(load_from=learnt, resume=True).train()
