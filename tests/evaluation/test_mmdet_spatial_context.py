"""Labels and boxes of the spatial-context-aware network in one test run, by all metrics, on data sets of both kinds."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from tiny_spatial_context import NEEDS_MMDET, coco, loader, model_config, voc

pytestmark = [pytest.mark.integration, NEEDS_MMDET]

RESIZE = dict(type='Resize', scale=(160, 128))
FIGURES = {'mAP': 100, 'CorLoc': 100, 'pascal_voc/AP50': 1, 'pascal_voc/mAP': 1, 'coco/bbox_mAP_50': 1}


def evaluators() -> list[dict]:
    return [
        dict(type='mlic_mm.MLICMetric'),
        dict(type='mlic_mm.CorLoc'),
        dict(type='mmdet.VOCMetric', eval_mode='area'),
        dict(type='mmdet.CocoMetric'),
    ]


def runner(folder: Path, model: Any, test: dict, **train: Any) -> Runner:
    return Runner(
        model=model,
        work_dir=str(folder),
        test_dataloader=test,
        test_cfg=dict(),
        test_evaluator=evaluators(),
        default_scope='mmpretrain',
        randomness=dict(seed=1),
        log_level='WARNING',
        default_hooks=dict(checkpoint=None),
        experiment_name=f'{folder.name}_{len(train)}',
        **train,
    )


@pytest.mark.parametrize(('kind', 'num_classes'), [(voc, 20), (coco, 80)])
def test_same_figures_through_our_data_sets_and_mmdets(
    kind: Any, num_classes: int, data_root: Path, tmp_path: Path
) -> None:
    model = model_config(num_classes, test_cfg=dict(score_thr=0.0))
    figures, predicted = [], []
    for ours in (True, False):
        pack = {} if ours else dict(num_classes=num_classes)
        test = loader(kind(data_root, ours) | dict(test_mode=True, indices=8), [RESIZE], **pack)
        run = runner(tmp_path / str(ours), model, test)
        figures.append(run.test())
        batch = run.test_dataloader.collate_fn([run.test_dataloader.dataset[i] for i in range(3)])
        predicted.append(run.model.test_step(batch))
    for name, most in FIGURES.items():
        assert all(0 <= each[name] <= most for each in figures), name
    assert figures[0]['mAP'] == figures[1]['mAP'] > 0
    for one, other in zip(*predicted, strict=True):
        assert len(one.pred_instances.bboxes) > 10
        for field in ('bboxes', 'scores', 'labels', 'object_scores', 'context_scores'):
            assert torch.equal(one.pred_instances.get(field), other.pred_instances.get(field))
        # In pixels of the file, not of the input.
        height, width = one.ori_shape
        furthest = one.pred_instances.bboxes.amax(0)[2:]
        assert (furthest <= torch.tensor([width, height]) + 1e-3).all()
        assert (furthest > torch.tensor([160, 128])).all()


@pytest.mark.process
def test_six_photographs_are_learnt_by_heart(data_root: Path, tmp_path: Path) -> None:
    """Data, targets, losses and boxes in pixels of the file fit together, or a figure would stay low."""
    data = voc(data_root, True) | dict(indices=6)
    resize = dict(type='Resize', scale=(160, 160))
    steps = 80
    run = runner(
        tmp_path / 'ours',
        model_config(20),
        loader(data | dict(test_mode=True), [resize], 6),
        train_dataloader=loader(data, [dict(type='LoadAnnotations'), resize], 6),
        train_cfg=dict(by_epoch=True, max_epochs=steps),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=8e-3, weight_decay=0.0), clip_grad=dict(max_norm=5.0)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, end=10, by_epoch=False),
            dict(type='CosineAnnealingLR', T_max=steps - 10, begin=10, eta_min=1e-4, by_epoch=False),
        ],
    )
    model = run.train()
    figures = run.test()
    assert figures['mAP'] > 95
    assert figures['CorLoc'] > 70
    assert figures['pascal_voc/mAP'] > 0.65
    assert figures['coco/bbox_mAP_50'] > 0.65
    for sample in model.test_step(run.test_dataloader.collate_fn([run.test_dataloader.dataset[i] for i in range(6)])):
        assert set(sample.pred_label.tolist()) == set(sample.gt_label.tolist())
    # The same boxes against mmdet's reading of the annotations.
    test = loader(voc(data_root, False) | dict(test_mode=True, indices=6), [resize], 6, num_classes=20)
    theirs = runner(tmp_path / 'theirs', model, test).test()
    assert theirs['mAP'] == figures['mAP']
    assert math.isclose(theirs['coco/bbox_mAP_50'], figures['coco/bbox_mAP_50'], abs_tol=0.1)
