"""The share of positives: counted from the training set, stored in the checkpoint, kept or counted anew."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import label
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

pytestmark = pytest.mark.integration

BuildRunner = Callable[..., Runner]
WEIGHTED: dict[str, Any] = dict(
    model__head__loss=dict(type='mlic_mm.WeightedBCELoss'),
    custom_hooks=[dict(type='mlic_mm.PositiveRatioHook')],
    default_hooks__checkpoint__save_best=None,
)
START_ONLY: dict[str, Any] = dict(train_cfg__max_epochs=0, param_scheduler=None)
ONE_EPOCH: dict[str, Any] = dict(train_cfg__max_epochs=1)


def share_in(cfg: Config) -> list[float]:
    """Counted from the annotation file, where ``MultiLabelDataset`` has no ignored labels."""
    data = json.loads(Path(cfg.train_dataloader.dataset.ann_file).read_text())
    rows = [[float(label in info['gt_label']) for label in range(4)] for info in data['data_list']]
    return [pytest.approx(value, rel=1e-6) for value in np.mean(rows, 0)]


def ratio_of(runner: Runner) -> list[float]:
    return runner.model.head.loss_module.positive_ratio.tolist()


def stored(path: Path, part: str = 'state_dict', prefix: str = '') -> list[float]:
    checkpoint = torch.load(path, weights_only=False)
    return checkpoint[part][f'{prefix}head.loss_module.positive_ratio'].tolist()


def fewer_images(number: int) -> Callable[[Config], None]:
    def change(cfg: Config) -> None:
        cfg.train_dataloader.dataset.indices = number

    return change


def test_mmpretrain_data_set_by_hand(runner: BuildRunner) -> None:
    """It has no ``targets()``: its samples have ``gt_label`` alone."""
    built = runner(**WEIGHTED, **START_ONLY)
    assert ratio_of(built) == []
    built.train()
    assert not hasattr(built.train_dataloader.dataset, 'targets')
    assert ratio_of(built) == share_in(built.cfg)
    assert len(set(ratio_of(built))) > 1


def test_wrapped_data_sets(runner: BuildRunner) -> None:
    """A repeated one has the same shares, a concatenated one those of both parts."""

    def wrap(kind: str) -> Callable[[Config], None]:
        def change(cfg: Config) -> None:
            inner = cfg.train_dataloader.dataset
            parts = [inner, Config(dict(inner, indices=3))._cfg_dict]
            options = dict(dataset=inner, times=3) if kind == 'RepeatDataset' else dict(datasets=parts)
            cfg.train_dataloader.dataset = dict(type=kind, **options)

        return change

    repeated = runner(wrap('RepeatDataset'), **WEIGHTED, **START_ONLY)
    repeated.train()
    inner = repeated.train_dataloader.dataset.dataset
    rows = np.zeros((len(inner), 4))
    for row, info in zip(rows, (inner.get_data_info(i) for i in range(len(inner))), strict=True):
        row[info['gt_label']] = 1
    assert ratio_of(repeated) == pytest.approx(rows.mean(0).tolist())

    joined = runner(wrap('ConcatDataset'), **WEIGHTED, **START_ONLY)
    joined.train()
    assert ratio_of(joined) == pytest.approx(np.concatenate([rows, rows[:3]]).mean(0).tolist())


def test_ignored_labels_by_hand(runner: BuildRunner, tmp_path: Path) -> None:
    """1 of 2 known, 0 of 3, all of one known, and none known at all."""
    rows = [[1, 0, -1, -1], [0, 0, -1, -1], [-1, 0, 1, -1]]

    def change(cfg: Config) -> None:
        label(cfg, tmp_path, rows, minus_one='ignored')  # "blue" is never absent, which is refused otherwise

    built = runner(change, **WEIGHTED, **START_ONLY)
    built.train()
    assert built.train_dataloader.dataset.targets().tolist() == rows
    assert ratio_of(built) == [0.5, 0, 1, 0]


def test_stored_kept_by_a_resumed_run_and_counted_anew_by_another(runner: BuildRunner, tmp_path: Path) -> None:
    first = runner(**WEIGHTED, **ONE_EPOCH)
    first.train()
    path = tmp_path / 'work/epoch_1.pth'
    counted = share_in(first.cfg)
    assert stored(path) == counted

    # Another part of the images has other shares: shown first, by a run that starts from scratch.
    scratch = runner(fewer_images(3), **WEIGHTED, **START_ONLY)
    scratch.train()
    others = ratio_of(scratch)
    assert others != counted

    resumed = runner(fewer_images(3), resume=True, load_from=str(path), **WEIGHTED, **START_ONLY)
    resumed.train()
    assert ratio_of(resumed) == counted

    tuned = runner(fewer_images(3), load_from=str(path), **WEIGHTED, **START_ONLY)
    tuned.train()
    assert ratio_of(tuned) == others
    weights = torch.load(path, weights_only=False)['state_dict']
    assert torch.equal(tuned.model.backbone.conv1.weight.cpu(), weights['backbone.conv1.weight'].cpu())


def test_fine_tuning_from_another_number_of_labels(runner: BuildRunner, tmp_path: Path) -> None:
    weights = runner().model.state_dict()
    weights['head.fc.weight'], weights['head.fc.bias'] = torch.zeros(2, 32), torch.zeros(2)
    weights['head.loss_module.positive_ratio'] = torch.tensor([0.5, 0.5])
    torch.save(dict(state_dict=weights, meta=dict(epoch=1, iter=3)), tmp_path / 'other.pth')
    tuned = runner(load_from=str(tmp_path / 'other.pth'), **WEIGHTED, **ONE_EPOCH)
    tuned.train()
    assert ratio_of(tuned) == share_in(tuned.cfg)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_weights_and_a_test_of_the_checkpoint(
    runner: BuildRunner, tmp_path: Path, update_buffers: bool
) -> None:
    """With EMAHook listed first; then tests, whose model has yet to be told how many labels there are."""
    hooks = [dict(type='EMAHook', momentum=0.5, update_buffers=update_buffers), *WEIGHTED['custom_hooks']]
    options = {**WEIGHTED, 'custom_hooks': hooks}
    built = runner(**options, **ONE_EPOCH)
    built.train()
    path = tmp_path / 'work/epoch_1.pth'
    counted = share_in(built.cfg)
    assert stored(path) == stored(path, 'ema_state_dict', 'module.') == counted

    for extra in (options, WEIGHTED, {**WEIGHTED, 'custom_hooks': []}):
        tested = runner(load_from=str(path), **extra)
        figures = tested.test()
        assert figures['mAP'] >= 0
        assert not isinstance(tested._train_loop, BaseLoop)
        assert ratio_of(tested) == counted

    resumed = runner(resume=True, load_from=str(path), **options)
    resumed.train()
    assert resumed.epoch == 2
    assert ratio_of(resumed) == counted


def test_the_loss_of_a_step_is_weighted(runner: BuildRunner) -> None:
    """By hand, from logits of zero: ln 2 times the weight of every label."""
    built = runner(**WEIGHTED, **START_ONLY)
    built.train()
    model = built.model
    for parameter in model.head.fc.parameters():
        torch.nn.init.zeros_(parameter)
    data = model.data_preprocessor(next(iter(built.train_dataloader)), True)
    loss = model.loss(data['inputs'], data['data_samples'])['loss'].item()
    ratio = np.array(ratio_of(built))
    present = np.zeros((len(data['data_samples']), 4))
    for row, sample in zip(present, data['data_samples'], strict=True):
        row[sample.gt_label.cpu().numpy()] = 1
    weights = np.where(present == 1, np.exp(1 - ratio), np.exp(ratio))
    assert loss == pytest.approx(np.log(2) * weights.sum() / len(present), rel=1e-5)


def test_a_model_without_such_a_loss(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=r"no loss of the model weights .*type='mlic_mm\.WeightedBCELoss' or drop"):
        runner(custom_hooks=[dict(type='mlic_mm.PositiveRatioHook')]).train()


def test_a_weighted_loss_without_the_hook(runner: BuildRunner) -> None:
    with pytest.raises(ValueError, match=r'add custom_hooks=\[dict\(type=.mlic_mm\.PositiveRatioHook'):
        runner(**{**WEIGHTED, 'custom_hooks': []}).train()
