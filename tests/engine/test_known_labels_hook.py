"""Labels that are ignored everywhere train nothing, with losses and batch augments of mmpretrain."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled import label
from mmengine.config import Config
from mmengine.runner import Runner

pytestmark = pytest.mark.integration

OPTIONS: dict[str, Any] = dict(
    model__train_cfg=dict(augments=dict(type='Mixup', alpha=1.0)),
    val_cfg=None,
    val_dataloader=None,
    val_evaluator=None,
    default_hooks__checkpoint__save_best=None,
    default_hooks__label_check=None,  # which refuses such a label
)
SWITCH = dict(
    type='SwitchRecipeHook',
    schedule=[
        dict(
            action_epoch=2,
            loss=dict(type='AsymmetricLoss'),
            batch_augments=dict(augments=[dict(type='CutMix', alpha=1.0), dict(type='Mixup', alpha=1.0)]),
        )
    ],
)


@pytest.mark.parametrize('with_hook', [True, False])
def test_an_ignored_label_keeps_its_weights(runner: Callable[..., Runner], tmp_path: Path, with_hook: bool) -> None:
    """The last label is ignored in the four images that are trained on; without the hook it learns from them."""
    rows = [[i % 2, i % 3 == 0, i == 1, -1 if i < 4 else i % 2] for i in range(8)]

    def change(cfg: Config) -> None:
        label(cfg, tmp_path, rows, indices=4)
        cfg.train_cfg.max_epochs = 2

    off = {} if with_hook else dict(default_hooks__known_labels=None)  # on by default
    built = runner(change, custom_hooks=[SWITCH], **off, **OPTIONS)
    built._init_model_weights()
    before = built.model.head.fc.weight.detach().clone()
    built._init_model_weights = lambda: None
    built.train()
    moved = (built.model.head.fc.weight != before).any(1).tolist()
    assert moved == [True, True, True, not with_hook]
    assert type(built.model.head.loss_module).__name__ == 'AsymmetricLoss'
