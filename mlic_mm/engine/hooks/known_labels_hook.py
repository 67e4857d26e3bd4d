"""Ignored labels stay out of training with any loss and batch augment."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.models.batch_augments import keep_ignored
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class KnownLabelsHook(Hook):
    """Leave labels whose target is −1 (ignored) out of every loss and every batch augment of the model.

    Heads and losses of this package do this themselves. mmpretrain computes with −1 as a number. Its losses have a
    larger gradient for an ignored label than for an absent one, and its batch augments blend −1 and 1 to 0. The hook
    changes both, see :func:`leave_out_unknown` and :func:`keep_ignored`. Without ignored labels nothing changes.

    Examples:
        >>> import logging
        >>> from types import SimpleNamespace
        >>> from mmpretrain.models.heads import MultiLabelLinearClsHead
        >>> head = MultiLabelLinearClsHead(num_classes=2, in_channels=4)
        >>> runner = SimpleNamespace(model=head, logger=logging.getLogger())
        >>> HOOKS.build(dict(type='mlic_mm.KnownLabelsHook')).before_train_epoch(runner)
        >>> head.loss_module.takes_unknown
        True
    """

    priority = 'VERY_LOW'  # after hooks that change losses or augments, such as mmpretrain's SwitchRecipeHook

    def before_train_epoch(self, runner: Runner) -> None:
        """Change losses and augments that are not changed yet. Loops by iterations call this once, at their start."""
        model = unwrap_model(runner)
        changed = leave_out_unknown(model)
        if changed:
            runner.logger.info(f'ignored labels (−1) are left out of {", ".join(changed)}')
        augments = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
        if hasattr(augments, 'augments'):
            keep_ignored(augments)
