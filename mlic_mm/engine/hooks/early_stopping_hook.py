"""Early stopping that survives an interruption."""

from typing import Any

from mmengine.hooks import EarlyStoppingHook as _EarlyStoppingHook
from mmengine.runner import Runner

from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class EarlyStoppingHook(_EarlyStoppingHook):
    """mmengine's early stopping, whose patience survives an interruption.

    The message hub, which checkpoints carry, holds the count of validations without improvement.

    Args:
        monitor: Metric to watch.
        **kwargs: As for ``mmengine.hooks.EarlyStoppingHook``: ``patience=5``, ``min_delta=0.1``, ``rule`` …

    Examples:
        >>> hook = HOOKS.build(dict(type='mlic_mm.EarlyStoppingHook', monitor='mAP', rule='greater', patience=3))
        >>> hook.monitor, hook.patience
        ('mAP', 3)
    """

    # Ahead of the checkpoint hook, which saves again after a validation with a new best score.
    priority = 'LOW'

    def __init__(self, monitor: str = 'mAP', **kwargs: Any) -> None:
        super().__init__(monitor, **kwargs)

    def before_run(self, runner: Runner) -> None:
        """Do nothing: mmengine's hook looks at the train loop here, which builds the training data for a test, too."""

    def before_train(self, runner: Runner) -> None:
        """Continue the count of a resumed run."""
        state = runner.message_hub.runtime_info.get('early_stopping')
        if state:
            self.wait_count, self.best_score = state['wait_count'], state['best_score']
            runner.train_loop.stop_training = state['stopped']

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Count, and keep the count for checkpoints."""
        super().after_val_epoch(runner, metrics)
        state = dict(
            wait_count=self.wait_count,
            best_score=float(self.best_score),
            stopped=runner.train_loop.stop_training,
        )
        runner.message_hub.update_info('early_stopping', state)
