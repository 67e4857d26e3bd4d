"""Channels-last memory for convolutions."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lay the weights out channels-last, which convolutions then hand on to their outputs.

    Convolution networks run 1.1 to 1.5 times faster that way on CPUs, more on GPUs with mixed precision. Results
    differ in the last bits only; checkpoints are the same.

    mmcv's compiled ops (RoIAlign for one) take such maps for maps in the usual format, without a word: they get copies.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model once; loading a checkpoint later keeps the layout."""
        runner.model.to(memory_format=torch.channels_last)
        for module in runner.model.modules():
            if type(module).__module__.startswith('mmcv.ops.'):
                module.register_forward_pre_hook(_contiguous)


def _contiguous(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg.contiguous() if isinstance(arg, torch.Tensor) else arg for arg in args)
