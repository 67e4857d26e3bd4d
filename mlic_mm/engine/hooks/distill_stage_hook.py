"""Distillation in two stages within one run."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.run_checks import require_epochs, require_unused_parameters
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class DistillStageHook(Hook):
    """Train a :class:`~mlic_mm.models.DistillClassifier` in stage 1 and, from an epoch on, in stage 2.

    Stage 1 compares features alone, stage 2 is the loss of the labels with those of predictions (section 3.3 of Liu et
    al. 2018). The number of the epoch decides, so a resumed run goes on in its stage. One optimiser serves both: a
    rate of their own for the stages is a matter of ``param_scheduler``. Parameters that a stage does not use have no
    gradients in it, so they are neither moved nor decayed.

    Args:
        epoch (int): First epoch of stage 2, counted from 1.

    Raises:
        ValueError: ``epoch`` below 2; at the start of training: a model without stages, a loop without epochs, one that
            ends before stage 2, whose head would stay as it was drawn, or several processes without
            ``find_unused_parameters=True`` in the config, without which they wait for gradients that do not come.
    """

    def __init__(self, epoch: int) -> None:
        if epoch < 2:
            raise ValueError(
                f'DistillStageHook: epoch={epoch} leaves no epoch to stage 1; give 2 or more, or set stage=2 in the '
                'model and leave the hook out'
            )
        self.epoch = epoch

    def before_train(self, runner: Runner) -> None:
        """Check that there are two stages."""
        model: Any = unwrap_model(runner)
        if not hasattr(model, 'stage'):
            raise ValueError(
                f"DistillStageHook: {type(model).__name__} has no stages; use type='mlic_mm.DistillClassifier', or "
                'leave the hook out'
            )
        require_epochs(runner, 'DistillStageHook changes the stage at an epoch')
        if self.epoch > runner.max_epochs:
            raise ValueError(
                f'DistillStageHook: stage 2 begins at epoch {self.epoch}, but training ends after {runner.max_epochs}, '
                'before any label was learnt: lower epoch or raise train_cfg.max_epochs; for stage 1 alone set '
                'stage=1 in the model and leave the hook out'
            )
        require_unused_parameters(runner, 'DistillStageHook', 'and each stage leaves some unused')

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the stage of this epoch."""
        model: Any = unwrap_model(runner)
        model.stage = 1 if runner.epoch + 1 < self.epoch else 2
        if self.epoch == runner.epoch + 1:
            runner.logger.info(f'epoch {self.epoch}: stage 2, labels and predictions')
