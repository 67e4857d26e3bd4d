"""The same buffers in all processes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, broadcast, is_distributed
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class SyncBuffersHook(Hook):
    """Give all processes the same buffers before a validation and before a checkpoint is saved.

    Every process has batch-normalisation statistics of its own images. Without this hook, each process validates with
    its own statistics, and the checkpoint has those of the first process. The validation metrics in the log would then
    not belong to the checkpoint.

    Running means and variances become their mean over the processes. Integers become those of the first process. The
    hook treats the averaged model of ``EMAHook`` in the same way. mmengine's hook of this name leaves out the averaged
    model and the checkpoints within an epoch.

    Examples:
        >>> HOOKS.build(dict(type='mlic_mm.SyncBuffersHook')).priority  # after EMAHook, before CheckpointHook
        'LOW'
    """

    # After EMAHook (NORMAL), which copies buffers in each iteration; before CheckpointHook (VERY_LOW), which saves.
    priority = 'LOW'

    def __init__(self) -> None:
        self._apart = False  # whether a step was taken since the last synchronisation

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note that buffers differ from now on."""
        self._apart = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Synchronise before a checkpoint within an epoch."""
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and not hook.by_epoch:
                due = self.every_n_train_iters(runner, hook.interval, hook.save_begin)
                if due or self.is_last_train_iter(runner):
                    self._sync(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Synchronise before the checkpoint of an epoch."""
        self._sync(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Synchronise before a validation."""
        self._sync(runner)

    def _sync(self, runner: Runner) -> None:
        if self._apart and is_distributed():
            models = [unwrap_model(runner), *(hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook))]
            buffers = [buffer for model in models for buffer in model.buffers()]
            buffers = [torch.view_as_real(buffer) if buffer.is_complex() else buffer for buffer in buffers]
            # In float64 the mean of equal numbers is that number, for any number of processes.
            floats = _flat([buffer for buffer in buffers if buffer.is_floating_point()], torch.float64)
            all_reduce(floats, 'mean')
            _copy(floats, [buffer for buffer in buffers if buffer.is_floating_point()])
            whole = _flat([buffer for buffer in buffers if not buffer.is_floating_point()], torch.int64)
            broadcast(whole)
            _copy(whole, [buffer for buffer in buffers if not buffer.is_floating_point()])
        self._apart = False


def _flat(buffers: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Join buffers to one ``(K,)``, so that one message carries all of them."""
    device = get_device()
    return torch.cat(
        [torch.zeros(0, dtype=dtype, device=device), *(b.detach().to(device, dtype).flatten() for b in buffers)]
    )


def _copy(flat: Tensor, buffers: Sequence[Tensor]) -> None:
    """Write the parts of ``(K,)`` back into the buffers."""
    for buffer, part in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.detach().copy_(part.view(buffer.shape))
