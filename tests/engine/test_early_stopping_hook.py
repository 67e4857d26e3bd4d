"""Early stopping is one line of config, and costs a test nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

pytestmark = pytest.mark.integration

BuildRunner = Callable[..., Runner]
# An improvement by 100 percentage points never comes.
ONE_LINE: dict[str, Any] = dict(
    default_hooks__early_stopping=dict(type='mlic_mm.EarlyStoppingHook', patience=2, min_delta=100.0),
    train_cfg__max_epochs=9,
)


def test_it_stops_after_its_patience(runner: BuildRunner) -> None:
    built = runner(**ONE_LINE)
    built.train()
    assert built.epoch == 3


def test_a_run_that_has_stopped_stays_stopped(runner: BuildRunner) -> None:
    built = runner(**ONE_LINE)
    built.message_hub.update_info('early_stopping', dict(wait_count=2, best_score=71.5, stopped=True))
    built.train()
    assert built.epoch == 0


def test_testing_does_not_build_the_training_data(runner: BuildRunner) -> None:
    built = runner(**ONE_LINE)
    built.test()
    assert not isinstance(built._train_loop, BaseLoop)
