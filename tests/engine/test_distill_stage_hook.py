"""The stage follows the epoch, also in a run that was stopped, and what a stage does not use does not move."""

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from recorded import StateRecorder, copy_of, decaying, moved, train
from tiny_run import CLASSES, ToolProcess

from mlic_mm.engine.hooks import DistillStageHook
from mlic_mm.registry import MODELS

BuildRunner = Callable[..., Runner]
Change = Callable[[Config], None]
LABELS = 'objectives.teacher.losses.labels'


class Recorder(StateRecorder):
    """Keeps the stage of every step, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[int] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.stages.append(runner.model.objectives.teacher.stage)


@pytest.fixture(scope='module')
def two_stages(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Change:
    """Make the tiny classifier the student of another of its kind, whose maps and labels it learns."""
    cfg = Config.fromfile(tiny_config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        state = MODELS.build(cfg.model).state_dict()
    checkpoint = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=CLASSES))), checkpoint)

    def change(cfg: Config) -> None:
        cfg.model.type = 'mlic_mm.MultiLabelClassifier'
        losses = dict(
            maps=dict(type='mlic_mm.FitNetsLoss', student_channels=32, teacher_channels=32),
            labels=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=4),
        )
        teacher = dict(config=str(tiny_config), checkpoint=str(checkpoint))
        cfg.model.objectives = dict(teacher=dict(type='mlic_mm.Distillation', teacher=teacher, losses=losses))

    return change


def options(epoch: int, epochs: int, **more: Any) -> dict[str, Any]:
    return decaying(dict(type='mlic_mm.DistillStageHook', epoch=epoch), epochs, **more)


def test_objectives_without_features_have_no_stage(tiny_config: Path) -> None:
    """They would have nothing to learn in stage 1; they wait there, because the others are alone."""
    soft = dict(soft=dict(type='mlic_mm.HintonDistillLoss'))
    both = dict(soft, maps=dict(type='mlic_mm.FitNetsLoss'))
    model = Config.fromfile(tiny_config).model | dict(type='mlic_mm.MultiLabelClassifier')
    kind = dict(type='mlic_mm.Distillation')
    model.objectives = dict(one=dict(kind, losses=both), other=dict(kind, losses=soft))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(model)
    DistillStageHook(epoch=2).before_train_epoch(SimpleNamespace(model=built, epoch=0))
    assert built.objectives.one.stage == 1
    assert built.objectives.other.stage is None


@pytest.mark.integration
def test_stage_2_begins_at_its_epoch(runner: BuildRunner, two_stages: Change) -> None:
    """11 images, three steps an epoch."""
    found = train(runner(two_stages, **options(3, 4)), Recorder())
    assert found.stages == [1] * 6 + [2] * 6
    start, _, first, _, second = found.states
    backbone = {name for name in start if name.startswith('backbone.')}
    assert moved(start, first) == backbone
    temperatures = {f'{LABELS}.cls_theta', f'{LABELS}.student_theta'}
    assert moved(first, second) == backbone | temperatures | {'head.fc.weight', 'head.fc.bias'} == set(start)


@pytest.mark.integration
def test_resumed_run_is_the_same(runner: BuildRunner, two_stages: Change, tmp_path: Path) -> None:
    """From within stage 2, from its start, and from within stage 1."""
    settings = options(3, 4)
    whole = runner(two_stages, **settings)
    train(whole, Recorder())
    for after, stages in ((3, [2]), (2, [2, 2]), (1, [1, 2, 2])):
        checkpoint = str(tmp_path / 'work' / f'epoch_{after}.pth')
        resumed = runner(two_stages, resume=True, load_from=checkpoint, **settings)
        assert train(resumed, Recorder()).stages == [stage for stage in stages for _ in range(3)]
        assert not moved(copy_of(whole), copy_of(resumed))


@pytest.mark.parametrize('epoch', [1, 0, -3])
def test_no_epoch_is_left_to_stage_1(epoch: int) -> None:
    with pytest.raises(ValueError, match=f'epoch={epoch} must be a whole number at least 2'):
        DistillStageHook(epoch)


@pytest.mark.integration
def test_stage_2_after_the_end(runner: BuildRunner, two_stages: Change) -> None:
    with pytest.raises(ValueError, match='begins at epoch 3, but training ends after 2, before a label is learnt'):
        runner(two_stages, **options(3, 2)).train()


@pytest.mark.integration
def test_a_model_without_stages(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=r'ImageClassifier has no objective with stages: add .* mlic_mm\.Distillation'):
        runner(**options(2, 3)).train()
    objectives = dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')]))
    model = dict(model__type='mlic_mm.MultiLabelClassifier', model__objectives=objectives)
    with pytest.raises(ValueError, match='MultiLabelClassifier has no objective with stages'):
        runner(**options(2, 3), **model).train()


@pytest.mark.integration
def test_a_loop_without_epochs(runner: BuildRunner, two_stages: Change) -> None:
    def change(cfg: Config) -> None:
        two_stages(cfg)
        cfg.train_cfg = dict(by_epoch=False, max_iters=2)

    with pytest.raises(ValueError, match=r'IterBasedTrainLoop has none: set train_cfg=dict\(by_epoch=True'):
        runner(change, **options(2, 3)).train()


@pytest.mark.process
def test_two_processes(tiny_config: Path, two_stages: Change, tmp_path: Path) -> None:
    """They wait for no gradient in either stage, and say what they need."""
    cfg = Config.fromfile(tiny_config)
    two_stages(cfg)
    cfg.custom_hooks = [dict(type='mlic_mm.DistillStageHook', epoch=2)]
    cfg.dump(tmp_path / 'distilled.py')

    def train_by_two(*options: str) -> list[ToolProcess]:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
        words = ['distilled.py', '--launcher', 'pytorch', '--work-dir', 'two', '--cfg-options', *options]
        return [
            ToolProcess('train.py', *words, cwd=tmp_path, RANK=str(rank), LOCAL_RANK=str(rank), **world)
            for rank in (0, 1)
        ]

    ranks = train_by_two('train_dataloader.batch_size=2', 'find_unused_parameters=True')
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]
    first, second = (
        torch.load(tmp_path / f'two/epoch_{epoch}.pth', weights_only=False)['state_dict'] for epoch in (1, 2)
    )
    assert not first[f'{LABELS}.cls_theta'].any()
    assert second[f'{LABELS}.cls_theta'].any()
    ranks = train_by_two('find_unused_parameters=False')
    assert all(rank.wait() for rank in ranks)
    assert 'set find_unused_parameters=True in the config' in ranks[0].output
