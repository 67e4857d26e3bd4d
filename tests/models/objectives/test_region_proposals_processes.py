"""Two real processes train the network in its two phases and test it."""

import json
import socket
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny_run import REPO, ToolProcess
from tiny_spatial_context import NEEDS_MMDET, loader, model_config, voc

pytestmark = [pytest.mark.process, NEEDS_MMDET]


def by_two(folder: Path, *words: str) -> None:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
    ranks = [
        ToolProcess(*words, '--launcher', 'pytorch', cwd=folder, RANK=str(rank), LOCAL_RANK=str(rank), **world)
        for rank in (0, 1)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].output[-3000:] + ranks[1].output[-3000:]


def test_two_phases_and_a_test_by_two_processes(data_root: Path, tmp_path: Path) -> None:
    """Each process sees other images and patches; figures of labels and boxes are those of one process."""
    evaluators = [dict(type='mlic_mm.MLICMetric'), dict(type='mmdet.VOCMetric', eval_mode='area')]
    data = voc(data_root, ours=True) | dict(indices=9)
    resize = dict(type='Resize', scale=(64, 64))
    test = loader(data | dict(test_mode=True), [resize], batch_size=2)
    cfg = Config.fromfile(REPO / 'configs/_base_/default_runtime.py')
    cfg.merge_from_dict(
        dict(
            model=model_config(20),
            train_dataloader=loader(data, [dict(type='LoadAnnotations'), resize], batch_size=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            test_dataloader=test,
            test_cfg=dict(),
            test_evaluator=evaluators,
            custom_hooks=[dict(type='mlic_mm.UnfreezeHook', modules=['backbone'], epoch=2)],
            find_unused_parameters=True,
            randomness=dict(seed=0),
            default_hooks=dict(checkpoint=dict(save_best=None, max_keep_ckpts=-1)),
        )
    )
    cfg.dump(tmp_path / 'net.py')
    by_two(tmp_path, 'train.py', 'net.py', '--work-dir', 'run')
    first, second = (torch.load(tmp_path / f'run/epoch_{i}.pth', weights_only=False)['state_dict'] for i in (1, 2))
    still = {name for name in first if torch.equal(first[name], second[name])}
    assert not still
    figures = []
    for folder, run in (('two', by_two), ('one', None)):
        words = ['test.py', 'net.py', 'run/epoch_2.pth', '--work-dir', folder, '--no-report']
        words += ['--figures', f'{folder}.json']
        if run:
            run(tmp_path, *words)
        else:
            alone = ToolProcess(*words, cwd=tmp_path)
            assert alone.wait() == 0, alone.output[-3000:]
        figures.append(json.loads((tmp_path / f'{folder}.json').read_text()))
    assert figures[0] == pytest.approx(figures[1], abs=1e-3)
    assert 'pascal_voc/AP50' in json.dumps(figures[0])
