"""A loss whose weight grows slowly."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.models.utils.layer_maps import find_module
from mlic_mm.registry import HOOKS
from mlic_mm.utils.choices import check_range


@HOOKS.register_module()
class LossWarmupHook(Hook):
    """Let the ``loss_weight`` of one loss grow linearly to its value over the first iterations.

    In iteration ``i``, counted from 1, the weight is ``i / iters`` of its value. Only the number of the iteration
    decides, so a resumed run continues where it stopped.

    Args:
        module: Name of the loss in the model, such as ``'objectives.consistency.loss'`` or ``'head.loss_module'``.
        iters: Number of iterations until the loss has its full weight.

    Raises:
        ValueError: ``iters`` is below 1. At the start of training: the model has no such module, or the module has no
            ``loss_weight``.

    Examples:
        >>> from types import SimpleNamespace
        >>> from torch import nn
        >>> from mlic_mm.models import AttentionConsistencyLoss
        >>> model = nn.ModuleDict({'consistency': AttentionConsistencyLoss()})
        >>> runner = SimpleNamespace(model=model, iter=0)
        >>> hook = HOOKS.build(dict(type='mlic_mm.LossWarmupHook', module='consistency', iters=4))
        >>> hook.before_train(runner)
        >>> hook.before_train_iter(runner, 0)
        >>> model['consistency'].loss_weight
        0.25
    """

    def __init__(self, module: str, iters: int) -> None:
        check_range('iters', iters, at_least=1, whole=True)
        self.module = module
        self.iters = iters

    def before_train(self, runner: Runner) -> None:
        """Find the loss."""
        self._loss = find_module(unwrap_model(runner), self.module)
        if not isinstance(getattr(self._loss, 'loss_weight', None), float | int):
            raise ValueError(
                f'module={self.module!r} is a {type(self._loss).__name__} without loss_weight: name a loss'
            )
        self._weight = self._loss.loss_weight

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the weight of this iteration."""
        self._loss.loss_weight = self._weight * min(1.0, (runner.iter + 1) / self.iters)

    def after_train(self, runner: Runner) -> None:
        """Leave the loss as it was."""
        self._loss.loss_weight = self._weight
