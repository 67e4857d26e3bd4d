"""Ignored labels stay out of training, whatever loss and batch augment it has."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.models.batch_augments import keep_ignored
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class KnownLabelsHook(Hook):
    """Leave labels whose target is −1 (ignored) out of every loss and every batch augment of the model.

    Heads and losses of ours do so by themselves. Those of mmpretrain take −1 for a number: their losses push an ignored
    label away more strongly than an absent one, their batch augments blend −1 and 1 to 0. This hook changes both, see
    :func:`leave_out_unknown` and :func:`keep_ignored`. Without ignored labels nothing changes.
    """

    priority = 'VERY_LOW'  # after hooks that change losses or augments, such as mmpretrain's SwitchRecipeHook

    def before_train_epoch(self, runner: Runner) -> None:
        """Change what is not changed yet; loops by iterations call this once, before the first."""
        model = unwrap_model(runner)
        changed = leave_out_unknown(model)
        if changed:
            runner.logger.info(f'ignored labels (−1) are left out of {", ".join(changed)}')
        augments = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
        if hasattr(augments, 'augments'):
            keep_ignored(augments)
