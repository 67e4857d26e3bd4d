"""Distillation in two stages within one run."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.run_checks import require_epochs, require_unused_parameters
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS
from mlic_mm.utils.choices import check_range


@HOOKS.register_module()
class DistillStageHook(Hook):
    """Train in stage 1 of :class:`~mlic_mm.models.Distillation` and, from an epoch on, in stage 2.

    Stage 1 compares features alone. Stage 2 has the loss of the labels and the losses of predictions (`KD from WSD
    <https://yongchengliu.github.io/MLIC-KD-WSD/>`_, Liu et al. 2018, section 3.3). Only the number of the epoch
    decides, so a resumed run continues in its stage. Both stages have one optimiser; ``param_scheduler`` can give each
    its own learning rate. Parameters that a stage does not use have no gradients, so they are neither moved nor
    decayed.

    Args:
        epoch: First epoch of stage 2, counted from 1.

    Raises:
        ValueError: ``epoch`` is below 2. At the start of training: no objective has stages; the loop has no epochs, or
            ends before stage 2, so that the head would stay random; several processes run without
            ``find_unused_parameters=True`` in the config, and would wait for gradients that do not come.

    Examples:
        >>> from types import SimpleNamespace
        >>> from torch import nn
        >>> hook = HOOKS.build(dict(type='mlic_mm.DistillStageHook', epoch=3))
        >>> teacher = nn.Module()
        >>> teacher.stage, teacher.layers = None, ('backbone.layer3',)
        >>> model = nn.ModuleDict({'objectives': nn.ModuleDict({'teacher': teacher})})
        >>> hook.before_train_epoch(SimpleNamespace(model=model, epoch=1))  # in its second epoch
        >>> teacher.stage
        1
    """

    def __init__(self, epoch: int) -> None:
        check_range('epoch', epoch, at_least=2, whole=True)  # without stage 1, stage=2 of the objective is enough
        self.epoch = epoch

    def before_train(self, runner: Runner) -> None:
        """Check that there are two stages."""
        if not _staged(runner):
            raise ValueError(
                f'DistillStageHook: {type(unwrap_model(runner)).__name__} has no objective with stages: add an '
                'objective mlic_mm.Distillation with a loss between features to mlic_mm.MultiLabelClassifier, or leave '
                'the hook out'
            )
        require_epochs(runner, 'DistillStageHook changes the stage at an epoch')
        if self.epoch > runner.max_epochs:
            raise ValueError(
                f'DistillStageHook: stage 2 begins at epoch {self.epoch}, but training ends after {runner.max_epochs}, '
                'before a label is learnt: lower epoch or raise train_cfg.max_epochs; for stage 1 alone set '
                'stage=1 of the objective and leave the hook out'
            )
        require_unused_parameters(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the stage of this epoch."""
        for objective in _staged(runner):
            objective.stage = 1 if runner.epoch + 1 < self.epoch else 2
        if self.epoch == runner.epoch + 1:
            runner.logger.info(f'epoch {self.epoch}: stage 2, labels and predictions')


def _staged(runner: Runner) -> list[Any]:
    """Return the objectives of the model that have stages: those with a loss between features."""
    model: Any = unwrap_model(runner)
    objectives = model.objectives.values() if hasattr(model, 'objectives') else ()
    return [each for each in objectives if hasattr(each, 'stage') and each.layers]
