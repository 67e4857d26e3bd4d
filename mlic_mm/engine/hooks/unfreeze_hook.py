"""Training in two phases: a part of the model is frozen at first."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mlic_mm.engine.plateau import Plateau
from mlic_mm.engine.run_checks import require_epochs, require_unused_parameters
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.models.utils.layer_maps import find_module
from mlic_mm.registry import HOOKS
from mlic_mm.utils.choices import check_range


@HOOKS.register_module()
class UnfreezeHook(Hook):
    """Freeze modules, and release (unfreeze) them at an epoch or when the loss has converged.

    Frozen modules have no gradients and are in evaluation mode: batch normalisation keeps its statistics, dropout is
    off, and the backward pass computes nothing for them. The optimiser knows their parameters from the start. Until the
    release, it keeps no state for them and does not decay them. Parameters that were fixed before stay fixed.

    The loss has converged when its mean over an epoch (all iterations, all processes) has not fallen by more than
    ``min_delta`` of the lowest mean so far for ``patience`` epochs in a row. The next epoch releases the modules, so
    ``patience + 2`` is the earliest epoch. An epoch whose mean is not finite does not count. Checkpoints carry the
    lowest mean and the count, so a resumed run continues in its phase and releases when the unbroken run does.

    Args:
        modules: Names of modules in the model, such as ``'backbone'``.
        epoch: Epoch of the release, counted from 1; with ``patience`` the latest one. With None and without
            ``patience``, the modules stay frozen.
        patience: Release when the loss has not fallen for this number of epochs. With None, the loss does not matter.
        min_delta: Share of the loss, in [0, 1), that counts as a fall; None is 0.01. Needs ``patience``.
        norm_eval: Batch normalisation keeps its statistics after the release, too, like ``norm_eval`` of mmdet's
            backbones: the few images of a detector's batch would spoil them.

    Raises:
        ValueError: There is no module; ``epoch`` is below 2, or too early for ``patience`` to matter; ``patience`` is
            below 1; ``min_delta`` is out of range or without ``patience``. At the start of training: the model has no
            such module; the loop has no epochs; several processes run without ``find_unused_parameters=True`` in the
            config, and would wait for the gradients of the frozen modules. In the first iteration with ``patience``:
            ``train_step`` of the model returns no ``loss``.

    Examples:
        >>> hook = HOOKS.build(dict(type='mlic_mm.UnfreezeHook', modules=['backbone'], epoch=3))
        >>> hook.modules, hook.epoch
        (['backbone'], 3)
    """

    def __init__(
        self,
        modules: Sequence[str],
        epoch: int | None = None,
        patience: int | None = None,
        min_delta: float | None = None,
        norm_eval: bool = False,
    ) -> None:
        if not modules or isinstance(modules, str):
            raise ValueError(f"modules={modules!r} must be a list of names such as ['backbone']")
        if epoch is not None:
            check_range('epoch', epoch, at_least=2, whole=True)
        if patience is not None:
            check_range('patience', patience, at_least=1, whole=True)
        if min_delta is not None:
            check_range('min_delta', min_delta, at_least=0, below=1)
            if patience is None:
                raise ValueError(f'min_delta={min_delta} needs patience: set it or leave min_delta out')
        if epoch is not None and patience is not None and epoch <= patience + 2:
            raise ValueError(
                f'patience={patience} releases at epoch {patience + 2} at the earliest, so epoch={epoch} makes it '
                'useless: raise epoch or leave one of them out'
            )
        self.modules = list(modules)
        self.epoch = epoch
        self.norm_eval = norm_eval
        self._plateau = None if patience is None else Plateau(patience, 0.01 if min_delta is None else min_delta)
        self._converged: int | None = None  # epoch that follows
        self._sum, self._iterations = 0.0, 0  # of this epoch

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore what a resumed run had seen of the loss."""
        state = checkpoint.get('unfreeze', {}).get(self._key)
        if self._plateau is not None and runner._resume and state:
            self._plateau.best, self._plateau.waited = state['best'], state['waited']
            self._converged, self._sum, self._iterations = state['converged'], state['sum'], state['iterations']

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store what was seen of the loss, apart from other such hooks of this run."""
        if self._plateau is not None:
            checkpoint.setdefault('unfreeze', {})[self._key] = dict(
                best=self._plateau.best,
                waited=self._plateau.waited,
                converged=self._converged,
                sum=self._sum,
                iterations=self._iterations,
            )

    def before_train(self, runner: Runner) -> None:
        """Find the modules."""
        require_unused_parameters(runner)
        if self.epoch is not None or self._plateau is not None:
            require_epochs(runner, 'UnfreezeHook releases at an epoch')
        self._frozen = [find_module(unwrap_model(runner), name) for name in self.modules]
        # A module within another has its parameters listed twice, which does no harm.
        self._held = [p for module in self._frozen for p in module.parameters() if p.requires_grad]
        self._norms = [m for module in self._frozen for m in module.modules() if isinstance(m, _BatchNorm)]
        release = self._release
        self._apply(frozen=release is None or runner.epoch + 1 < release)

    def before_train_epoch(self, runner: Runner) -> None:
        """Release the modules at their epoch."""
        if self._release == runner.epoch + 1:
            self._apply(frozen=False)
            runner.logger.info(f'epoch {self._release}: {", ".join(self.modules)} released: {self._reason}')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set evaluation mode again: loops call ``model.train()`` at every epoch and after every validation."""
        for module in self._frozen if self._is_frozen else self._norms if self.norm_eval else ():
            if module.training:
                module.eval()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Add the loss of this iteration."""
        if self._plateau is None or not self._is_frozen:
            return
        if not outputs or 'loss' not in outputs:
            raise ValueError(
                f'UnfreezeHook: patience watches the loss, but train_step of {type(runner.model).__name__} returns '
                'none: set epoch instead'
            )
        # At once, not at the end of the epoch: a checkpoint in between then has what all processes have seen.
        loss = outputs['loss'].detach().to('cpu', torch.float64)
        all_reduce(loss, 'mean')
        self._sum += loss.item()
        self._iterations += 1

    def after_train_epoch(self, runner: Runner) -> None:
        """Decide whether the loss has converged."""
        if self._plateau is None or not self._is_frozen or not self._iterations:
            return
        mean = self._sum / self._iterations
        self._sum, self._iterations = 0.0, 0
        if not math.isfinite(mean):
            runner.logger.warning(f'UnfreezeHook: the loss of epoch {runner.epoch + 1} is {mean}; it does not count')
        elif self._plateau.reached(mean):
            self._converged = runner.epoch + 2

    def after_train(self, runner: Runner) -> None:
        """Leave the parameters trainable."""
        if self._is_frozen and (self.epoch is not None or self._plateau is not None):
            runner.logger.warning(
                f'UnfreezeHook: {", ".join(self.modules)} stayed frozen to the end, after {runner.epoch} epochs'
            )
        self._apply(frozen=False)

    @property
    def _key(self) -> str:
        return ','.join(self.modules)

    @property
    def _release(self) -> int | None:
        """Epoch of the release, None if it is not known yet."""
        return min((epoch for epoch in (self.epoch, self._converged) if epoch is not None), default=None)

    @property
    def _reason(self) -> str:
        if self._plateau is None or self._release != self._converged:
            return 'the epoch that was set'
        return (
            f'the loss has not fallen by more than {self._plateau.min_delta:g} of {self._plateau.best:.5g} '
            f'(patience={self._plateau.patience})'
        )

    def _apply(self, frozen: bool) -> None:
        self._is_frozen = frozen
        for parameter in self._held:
            parameter.requires_grad_(not frozen)
