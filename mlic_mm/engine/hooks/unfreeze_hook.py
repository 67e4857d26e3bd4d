"""Training in two phases: a part of the model is frozen at first."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from mlic_mm.engine.bare_model import find_module
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class UnfreezeHook(Hook):
    """Freeze modules, and release them at an epoch.

    Frozen means: no gradients, and evaluation mode, so that batch normalisation keeps its statistics and dropout is
    off. Nothing is computed for them in the backward pass. The optimiser knows their parameters from the start but has
    neither state for them nor decays them until they are released. Parameters that were fixed before stay so. The
    number of the epoch decides, so a resumed run goes on in its phase.

    Args:
        modules (Sequence[str]): Names of modules in the model, such as ``'backbone'``.
        epoch (int | None): Epoch of their release, counted from 1; None keeps them frozen.

    Raises:
        ValueError: No module, or ``epoch`` below 2; at the start of training: an unknown module, a loop without
            epochs, or several processes without ``find_unused_parameters=True`` in the config, without which they wait
            for the gradients of the frozen modules.
    """

    def __init__(self, modules: Sequence[str], epoch: int | None = None) -> None:
        if not modules or isinstance(modules, str):
            raise ValueError(f"UnfreezeHook: modules={modules!r} must be a list of names such as ['backbone']")
        if epoch is not None and epoch < 2:
            raise ValueError(f'UnfreezeHook: epoch={epoch} releases before the start; give 2 or more, or None')
        self.modules = list(modules)
        self.epoch = epoch

    def before_train(self, runner: Runner) -> None:
        """Find the modules."""
        if is_model_wrapper(runner.model) and not getattr(runner.model, 'find_unused_parameters', True):
            raise ValueError(
                'UnfreezeHook: several processes wait for gradients of every parameter, frozen or not; set '
                'find_unused_parameters=True in the config'
            )
        if self.epoch is not None and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                f'UnfreezeHook releases at an epoch, but {type(runner.train_loop).__name__} has none: set '
                'train_cfg=dict(by_epoch=True, max_epochs=…)'
            )
        self._frozen = [find_module(runner, name, 'UnfreezeHook') for name in self.modules]
        # A module within another has its parameters listed twice, which does no harm.
        self._held = [p for module in self._frozen for p in module.parameters() if p.requires_grad]
        self._apply(frozen=self.epoch is None or runner.epoch + 1 < self.epoch)

    def before_train_epoch(self, runner: Runner) -> None:
        """Release the modules at their epoch."""
        if self.epoch == runner.epoch + 1:
            self._apply(frozen=False)
            runner.logger.info(f'epoch {self.epoch}: {", ".join(self.modules)} released')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Hold the mode: loops call ``model.train()`` at every epoch and after every validation."""
        for module in self._frozen:
            if self._is_frozen and module.training:
                module.eval()

    def after_train(self, runner: Runner) -> None:
        """Leave parameters that can be trained."""
        self._apply(frozen=False)

    def _apply(self, frozen: bool) -> None:
        self._is_frozen = frozen
        for parameter in self._held:
            parameter.requires_grad_(not frozen)
