"""The share of positives of each label, for losses that weight by it."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS
from mlic_mm.utils.targets import target_rows


@HOOKS.register_module()
class PositiveRatioHook(Hook):
    """Give every loss with ``set_positive_ratio`` the share of positives of each label in the training set.

    The hook counts once, when a run starts. Ignored labels (−1) count neither as positive nor as negative. A label that
    is ignored in all images has the share 0. A resumed run keeps the shares of its checkpoint. A run that starts from
    the weights of another checkpoint (``load_from``) counts its own data.

    Raises:
        ValueError: At the start of training: the model has no such loss.

    Examples:
        >>> HOOKS.build(dict(type='mlic_mm.PositiveRatioHook')).priority  # before hooks that copy the model
        'VERY_HIGH'
    """

    priority = 'VERY_HIGH'  # before hooks that copy the model, such as EMAHook

    def before_run(self, runner: Runner) -> None:
        """Count, before a checkpoint is loaded."""
        self._ratio: torch.Tensor | None = None
        if not isinstance(runner._train_loop, BaseLoop):
            return
        dataset = runner.train_dataloader.dataset
        targets = target_rows(dataset)
        known = (targets >= 0).sum(0)
        self._ratio = torch.from_numpy((targets == 1).sum(0) / np.maximum(known, 1)).float()
        self._set(runner)

    def before_train(self, runner: Runner) -> None:
        """Replace the shares that were loaded with the weights of another training."""
        if self._ratio is not None and not runner._resume:
            self._set(runner)

    def _set(self, runner: Runner) -> None:
        losses: list[Any] = [
            module for module in unwrap_model(runner).modules() if hasattr(module, 'set_positive_ratio')
        ]
        if not losses:
            raise ValueError(
                'PositiveRatioHook: no loss of the model weights by the share of positives: set '
                "model.head.loss.type='mlic_mm.WeightedBCELoss' or drop the hook"
            )
        for loss in losses:
            loss.set_positive_ratio(self._ratio)
