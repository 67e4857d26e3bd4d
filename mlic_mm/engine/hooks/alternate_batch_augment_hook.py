"""Batch augments that are on in some epochs only."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.run_checks import require_epochs
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS
from mlic_mm.utils.choices import check_range


@HOOKS.register_module()
class AlternateBatchAugmentHook(Hook):
    """Switch the model's batch augments on in every ``period``-th epoch and off in the others.

    Paper: images are mixed in every other epoch (`Wang, Jia & Breckon 2018 <https://arxiv.org/abs/1811.08412>`_,
    section 3.2). The paper does not say which. Here: in even epochs, counted from 1, so the first epoch is without
    mixing. Only the number of an epoch decides whether it mixes, so a resumed run continues the same alternation.

    If the last epoch mixes images, batch normalisation keeps the statistics of mixed images. If the model has batch
    normalisation, choose ``start`` so that the last epoch does not mix.

    Args:
        start: First epoch with batch augments, counted from 1. With 1, these are the odd epochs.
        period: Distance between epochs with batch augments. With 1, all epochs from ``start`` on have them.

    Raises:
        ValueError: An option is below 1. At the start of training: the loop has no epochs, or the model has no batch
            augments.

    Examples:
        >>> hook = HOOKS.build(dict(type='mlic_mm.AlternateBatchAugmentHook'))
        >>> [epoch for epoch in range(1, 8) if hook.mixes(epoch)]
        [2, 4, 6]
    """

    def __init__(self, start: int = 2, period: int = 2) -> None:
        check_range('start', start, at_least=1, whole=True)
        check_range('period', period, at_least=1, whole=True)
        self.start = start
        self.period = period

    def mixes(self, epoch: int) -> bool:
        """Return whether an epoch, counted from 1, has batch augments."""
        return epoch >= self.start and (epoch - self.start) % self.period == 0

    def before_train(self, runner: Runner) -> None:
        """Find the batch augments."""
        require_epochs(runner, 'AlternateBatchAugmentHook alternates by epoch')
        self._preprocessor: Any = unwrap_model(runner).data_preprocessor
        self._augments = getattr(self._preprocessor, 'batch_augments', None)
        if self._augments is None or not any(self._augments.augments):
            raise ValueError(
                'AlternateBatchAugmentHook: the model has no batch augments to alternate: set '
                "model.train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')) or drop the hook"
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Switch the batch augments on or off."""
        epoch = runner.epoch + 1
        on = self.mixes(epoch)
        self._preprocessor.batch_augments = self._augments if on else None
        runner.logger.info(f'epoch {epoch}: batch augments {"on" if on else "off"}')

    def after_train(self, runner: Runner) -> None:
        """Switch the batch augments on again, as they were before training."""
        self._preprocessor.batch_augments = self._augments
