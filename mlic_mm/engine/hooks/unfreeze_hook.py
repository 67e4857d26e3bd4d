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
from mlic_mm.engine.unwrap_model import find_module
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class UnfreezeHook(Hook):
    """Freeze modules, and release them at an epoch or when the loss has converged.

    Frozen means: no gradients, and evaluation mode, so that batch normalisation keeps its statistics and dropout is
    off. Nothing is computed for them in the backward pass. The optimiser knows their parameters from the start but has
    neither state for them nor decays them until they are released. Parameters that were fixed before stay so.

    The loss has converged when its mean over an epoch, all iterations and all processes, has not fallen by more than
    ``min_delta`` of the lowest so far for ``patience`` epochs in a row; the next epoch releases, so the earliest is
    ``patience + 2``. An epoch whose mean is not finite is left out. Checkpoints carry what was seen, so a resumed run
    goes on in its phase and releases when the unbroken one does.

    Args:
        modules (Sequence[str]): Names of modules in the model, such as ``'backbone'``.
        epoch (int | None): Epoch of their release, counted from 1; with ``patience`` the latest. None sets none, and
            without ``patience`` keeps them frozen.
        patience (int | None): Release when the loss has not fallen for so many epochs; None does not look at it.
        min_delta (float | None): Share of the loss, in [0, 1), that counts as a fall; None is 0.01. With ``patience``.
        norm_eval (bool): Batch normalisation keeps its statistics after the release, too, as ``norm_eval`` of mmdet's
            backbones has it: the few images of a detector's batch would spoil them.

    Raises:
        ValueError: No module; ``epoch`` below 2, or so early that ``patience`` has no say; ``patience`` below 1;
            ``min_delta`` out of range or without ``patience``. At the start of training: an unknown module, a loop
            without epochs, or several processes without ``find_unused_parameters=True`` in the config, without which
            they wait for the gradients of the frozen modules. In the first iteration: ``patience``, and a model whose
            ``train_step`` returns no ``loss``.
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
            raise ValueError(f"UnfreezeHook: modules={modules!r} must be a list of names such as ['backbone']")
        if epoch is not None and epoch < 2:
            raise ValueError(f'UnfreezeHook: epoch={epoch} releases before the start; give 2 or more, or None')
        if patience is not None and patience < 1:
            raise ValueError(f'UnfreezeHook: patience={patience} must be at least one epoch, or None')
        if min_delta is not None and (patience is None or not 0 <= min_delta < 1):
            raise ValueError(f'UnfreezeHook: min_delta={min_delta} must be a share in [0, 1), and needs patience')
        if epoch is not None and patience is not None and epoch <= patience + 2:
            raise ValueError(
                f'UnfreezeHook: patience={patience} releases at epoch {patience + 2} at the earliest, so beside '
                f'epoch={epoch} it has no say; raise epoch or leave one of them out'
            )
        self.modules = list(modules)
        self.epoch = epoch
        self.norm_eval = norm_eval
        self._plateau = None if patience is None else Plateau(patience, 0.01 if min_delta is None else min_delta)
        self._converged: int | None = None  # epoch that follows
        self._sum, self._iterations = 0.0, 0  # of this epoch

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take up what a resumed run had seen of the loss."""
        state = checkpoint.get('unfreeze', {}).get(self._key)
        if self._plateau is not None and runner._resume and state:
            self._plateau.best, self._plateau.waited = state['best'], state['waited']
            self._converged, self._sum, self._iterations = state['converged'], state['sum'], state['iterations']

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store what was seen of the loss; another such hook of this run stores beside it."""
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
        require_unused_parameters(runner, 'UnfreezeHook', 'frozen or not')
        if self.epoch is not None or self._plateau is not None:
            require_epochs(runner, 'UnfreezeHook releases at an epoch')
        self._frozen = [find_module(runner, name, 'UnfreezeHook') for name in self.modules]
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
        """Hold the mode: loops call ``model.train()`` at every epoch and after every validation."""
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
                'none; give epoch instead'
            )
        # At once, not at the end of the epoch: a checkpoint between has then what all processes have seen.
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
            runner.logger.warning(f'UnfreezeHook: the loss of epoch {runner.epoch + 1} is {mean}; it is left out')
        elif self._plateau.reached(mean):
            self._converged = runner.epoch + 2

    def after_train(self, runner: Runner) -> None:
        """Leave parameters that can be trained."""
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
        """Epoch of the release, as far as it is known."""
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
