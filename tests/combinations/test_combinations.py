"""Everything combines: every pair of choices trains, resumes, tests and exports, or is refused with a reason.

``combinations.txt`` is a covering array: each pair of choices of two axes is in one of its rows, except for the pairs
that :data:`combination_parts.REFUSED` names.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from combination_parts import AXES, REFUSED, REGIONS, Row, World, all_pairs, config_of, make_world, pairs
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from run_tool import run_tool
from tiny_run import ToolProcess
from tiny_spatial_context import NEEDS_MMDET

from mlic_mm.models.teachers.trained_classifier import build_classifier

HEADINGS, *LINES = Path(__file__).with_name('combinations.txt').read_text().splitlines()
ROWS: list[Row] = [dict(zip(HEADINGS.split(), line.split(), strict=True)) for line in LINES]
PLAIN = {axis: choices[0] for axis, choices in AXES.items()}


def name_of(row: Row) -> str:
    return '-'.join(row.values())


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> World:
    return make_world(tmp_path_factory.mktemp('world'), data_root)


def test_every_pair_of_choices_is_in_a_row_or_refused() -> None:
    for row in ROWS:
        assert tuple(row) == tuple(AXES)
        assert all(choice in AXES[axis] for axis, choice in row.items()), row
        assert not pairs(row) & set(REFUSED), row
    covered = set().union(*map(pairs, ROWS))
    assert covered | set(REFUSED) == all_pairs()


@NEEDS_MMDET
@pytest.mark.integration
@pytest.mark.parametrize('pair', REFUSED, ids=lambda pair: '-'.join(choice for _, choice in sorted(pair)))
def test_refused_pairs_say_why(pair: frozenset[tuple[str, str]], world: World) -> None:
    cfg = config_of(PLAIN | dict(pair), world, '')
    with DefaultScope.overwrite_default_scope('mmpretrain'), pytest.raises(ValueError, match=REFUSED[pair]):
        MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor))


@NEEDS_MMDET
@pytest.mark.integration
@pytest.mark.parametrize('row', ROWS, ids=name_of)
def test_two_steps(row: Row, world: World) -> None:
    """The quick part: losses and gradients of two steps are finite, all of the model learns, and it predicts."""
    cfg = config_of(row, world, '')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(cfg.model | dict(data_preprocessor=cfg.data_preprocessor))
        batches = [batch_of(cfg.train_dataloader), batch_of(cfg.test_dataloader)]
    for module in model.modules():
        if hasattr(module, 'set_positive_ratio'):
            module.set_positive_ratio(torch.full((20,), 0.2))
    model.init_weights()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    for _ in range(2):
        batch = model.data_preprocessor(batches[0], True)
        loss, logged = model.parse_losses(model(**batch, mode='loss'))
        loss.backward()
        assert all(torch.isfinite(value) for value in logged.values()), logged
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name  # distributed training waits for every one
            assert torch.isfinite(parameter.grad).all(), name
        optimizer.step()
        optimizer.zero_grad()
    assert {name.split('_')[1] for name in logged if name.count('_')} >= set(model.objectives), logged
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert {name.split('.')[0] for name in moved} >= {'backbone', 'head'}
    with torch.no_grad():
        for sample in model.eval().test_step(batches[1]):
            assert torch.isfinite(sample.pred_score).all()


def batch_of(loader: Config) -> dict:
    data = DATASETS.build(loader.dataset)
    return pseudo_collate([data[i] for i in range(loader.batch_size)])


def train(cfg: Config, folder: Path, run: str, *words: object) -> dict[str, Any]:
    """Train by ``tools/train.py`` and return the weights of the last epoch."""
    cfg.dump(folder / 'config.py')
    words = ('config.py', '--work-dir', run, *words)
    if cfg.get('find_unused_parameters') is not None:
        by_two(folder, 'train.py', *words)
    else:
        run_tool('train', *words, cwd=folder)
    return weights(folder / run / 'epoch_2.pth')


def weights(checkpoint: Path) -> dict[str, Any]:
    loaded = torch.load(checkpoint, weights_only=False)
    return loaded['state_dict'] | {f'ema {name}': value for name, value in loaded.get('ema_state_dict', {}).items()}


def by_two(folder: Path, *words: object) -> None:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    environment = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
    tool, *options = map(str, words)
    ranks = [
        ToolProcess(tool, *options, '--launcher', 'pytorch', cwd=folder, RANK=str(i), LOCAL_RANK=str(i), **environment)
        for i in (0, 1)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]


@NEEDS_MMDET
@pytest.mark.process
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('row', ROWS, ids=name_of)
def test_training_resuming_testing_and_export(row: Row, world: World, tmp_path: Path) -> None:
    """The whole: by the tools, as a user does it."""
    cfg = config_of(row, world, '')
    if row['training'] == 'two_processes':
        cfg.find_unused_parameters = False
    torch._dynamo.reset()
    whole = train(cfg, tmp_path, 'whole')
    again = train(cfg, tmp_path, 'again', '--resume', tmp_path / 'whole/epoch_1.pth')
    assert whole.keys() == again.keys()
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []
    first = weights(tmp_path / 'whole/epoch_1.pth')
    assert any(not torch.equal(whole[name], first[name]) for name in whole)
    assert not any('teacher.model' in name for name in whole)

    words = ['config.py', 'whole/epoch_2.pth', '--work-dir', 'test', '--no-report', '--figures', 'figures.json']
    if row['training'] == 'two_processes':
        by_two(tmp_path, 'test.py', *words)
    else:
        run_tool('test', *words, cwd=tmp_path)
    assert 0 <= json.loads((tmp_path / 'figures.json').read_text())['mAP'] <= 100

    model, _ = build_classifier(cfg, tmp_path / 'whole/epoch_2.pth')
    export = exported_scores(model, tmp_path / 'model.onnx')
    if row['head'] in REGIONS:
        with pytest.raises(ValueError, match='cannot be exported'):
            export()
        return
    images, scores = export()
    with torch.no_grad():
        np.testing.assert_allclose(scores, model(images).numpy(), rtol=1e-3, atol=1e-4)


def exported_scores(model: Any, file: Path) -> Callable[[], tuple[torch.Tensor, np.ndarray]]:
    """Return an export that gives images other than the example's, and their scores by ONNX Runtime."""

    def export() -> tuple[torch.Tensor, np.ndarray]:
        images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
        example = (torch.zeros(2, 3, 64, 64),)
        axes = dict(inputs={0: 'batch'})
        torch.onnx.export(model, example, file, dynamo=False, input_names=['inputs'], dynamic_axes=axes)
        session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
        return images, session.run(None, {'inputs': images.numpy()})[0]

    return export
