"""Batch augments that are on in some epochs only."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.run_checks import require_epochs
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class AlternateBatchAugmentHook(Hook):
    """Switch the model's batch augments on in every ``period``-th epoch, off in the others.

    Wang, Jia & Breckon 2018 (section 3.2) mix in every other epoch; which ones it does not say. Here: the even ones,
    counted from 1, because the first epoch is then plain. Whether an epoch mixes depends on its number alone, so a
    resumed run continues the same alternation.

    A training that ends on a mixing epoch keeps batch-normalisation statistics of mixed images; choose ``start`` so
    that the last epoch is plain if the model has such layers.

    Args:
        start (int): First epoch with batch augments, counted from 1. ``1`` is the odd-numbered epochs.
        period (int): Distance of such epochs; 1 keeps them on from ``start`` on.

    Raises:
        ValueError: An option below 1. At the start of training: the loop has no epochs, or the model no batch augments.
    """

    def __init__(self, start: int = 2, period: int = 2) -> None:
        if start < 1 or period < 1:
            raise ValueError(f'AlternateBatchAugmentHook: start={start} and period={period} must be at least 1')
        self.start = start
        self.period = period

    def before_train(self, runner: Runner) -> None:
        require_epochs(runner, 'AlternateBatchAugmentHook alternates by epoch')
        self._preprocessor: Any = unwrap_model(runner).data_preprocessor
        self._augments = getattr(self._preprocessor, 'batch_augments', None)
        if self._augments is None or not any(self._augments.augments):
            raise ValueError(
                'AlternateBatchAugmentHook: the model has no batch augments to alternate; set '
                "model.train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')) or drop the hook"
            )

    def before_train_epoch(self, runner: Runner) -> None:
        epoch = runner.epoch + 1
        on = epoch >= self.start and (epoch - self.start) % self.period == 0
        self._preprocessor.batch_augments = self._augments if on else None
        runner.logger.info(f'epoch {epoch}: batch augments {"on" if on else "off"}')

    def after_train(self, runner: Runner) -> None:
        self._preprocessor.batch_augments = self._augments
