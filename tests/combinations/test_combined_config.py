"""``configs/combined``: five parts in one config train on real photographs."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from run_tool import run_tool
from tiny_run import REPO

SMALL = REPO / 'configs/combined/combined_efficientnet-lite0-agcn_1xb16-4e_voc07mini-128px.py'
TEACHER = REPO / 'configs/deep_lift/linear_efficientnet-lite0_1xb32-5e_voc07mini-128px.py'
LOSSES = ('loss', 'loss_consistency', 'loss_teacher_soft')
# Ten photographs, two epochs, without the weights of ImageNet.
QUICK = {
    'model.backbone.init_cfg': None,
    'train_dataloader.dataset.indices': 10,
    'train_dataloader.batch_size': 5,
    'test_dataloader.dataset.indices': 10,
    'val_dataloader.dataset.indices': 10,
    'train_cfg.max_epochs': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.logger.interval': 1,
    'randomness.seed': 0,
}


def options(**changes: object) -> list[str]:
    return ['--cfg-options', *(f'{key}={value}' for key, value in (QUICK | changes).items())]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder with the label graph and the trained teacher that the config names."""
    made = tmp_path_factory.mktemp('combined')
    environment = dict(VOC_ROOT=str(data_root / 'VOCdevkit/VOC2007'))
    vectors = f'{data_root}/embeddings/label_glove_300d.npz:voc'
    graph = REPO / 'configs/deep_lift/deeplift_efficientnet-lite0-agcn_1xb32-5e_voc07mini-128px.py'
    run_tool('build_label_graph', graph, '--word-vectors', vectors, cwd=made, **environment)
    run_tool('train', TEACHER, *options(**{'train_cfg.max_epochs': 5}), cwd=made, **environment)
    return made


@pytest.mark.process
def test_small_form_trains_on_photographs(folder: Path, data_root: Path) -> None:
    run_tool('train', SMALL, '--work-dir', 'run', *options(), cwd=folder, VOC_ROOT=str(data_root / 'VOCdevkit/VOC2007'))
    log = next((folder / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    rows = [row for row in map(json.loads, log) if 'loss' in row]
    assert len(rows) == 4
    for name in LOSSES:
        assert all(0 < row[name] < 1000 for row in rows), name
    assert 0 <= json.loads(log[-1])['mAP'] <= 100
    stored = torch.load(folder / 'run/epoch_2.pth', weights_only=False)
    assert 'ema_state_dict' in stored
    assert not [name for name in stored['state_dict'] if 'teacher' in name]


@pytest.mark.process
def test_a_config_that_inherits_drops_a_part(folder: Path, data_root: Path) -> None:
    (folder / 'without_teacher.py').write_text(
        f'_base_ = [{str(SMALL)!r}]\nmodel = dict(objectives=dict(teacher=None))\n'
    )
    environment = dict(VOC_ROOT=str(data_root / 'VOCdevkit/VOC2007'))
    run_tool('train', 'without_teacher.py', '--work-dir', 'less', *options(), cwd=folder, **environment)
    log = next((folder / 'less').glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert {name for row in map(json.loads, log) for name in row if 'loss' in name} == set(LOSSES[:2])


@pytest.mark.parametrize('name', ['combined_voc07.py', f'combined/{SMALL.name}'])
def test_parts_of_the_configs(name: str) -> None:
    cfg = Config.fromfile(REPO / 'configs' / name)
    assert cfg.model.head.type == 'mlic_mm.DeepLIFTHead'
    assert cfg.model.head.loss.type == 'mlic_mm.WeightedBCELoss'
    assert set(cfg.model.objectives) == {'consistency', 'teacher'}
    assert cfg.model.train_cfg.augments.type == 'mlic_mm.MixupOR'
    assert cfg.default_hooks.ema.type == 'EMAHook'
    start, period = cfg.default_hooks.mixup.start, cfg.default_hooks.mixup.get('period', 2)
    assert (cfg.train_cfg.max_epochs - start) % period, 'the last epoch must not be mixed'
