"""A loss that sets in slowly."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.engine.unwrap_model import find_module
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class LossWarmupHook(Hook):
    """Let the ``loss_weight`` of one loss grow linearly to its value over the first iterations.

    Iteration ``i``, counted from 1, has the share ``i / iters``. It depends on the number of the iteration alone, so a
    resumed run goes on where it was.

    Args:
        module (str): Where the loss is in the model, such as ``'consistency'`` or ``'head.loss_module'``.
        iters (int): Iterations until the loss has its full weight.

    Raises:
        ValueError: ``iters`` below 1; at the start of training: no such module, or one without ``loss_weight``.
    """

    def __init__(self, module: str, iters: int) -> None:
        if iters < 1:
            raise ValueError(f'LossWarmupHook: iters={iters} must be at least 1')
        self.module = module
        self.iters = iters

    def before_train(self, runner: Runner) -> None:
        """Find the loss."""
        self._loss = find_module(runner, self.module, 'LossWarmupHook')
        if not isinstance(getattr(self._loss, 'loss_weight', None), float | int):
            raise ValueError(
                f'LossWarmupHook: {self.module!r} is a {type(self._loss).__name__} without loss_weight; name a loss'
            )
        self._weight = self._loss.loss_weight

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the weight of this iteration."""
        self._loss.loss_weight = self._weight * min(1.0, (runner.iter + 1) / self.iters)

    def after_train(self, runner: Runner) -> None:
        """Leave the loss as it was."""
        self._loss.loss_weight = self._weight
