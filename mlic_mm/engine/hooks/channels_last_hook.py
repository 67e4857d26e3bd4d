"""Channels-last memory for convolutions."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lay the weights out channels-last, which convolutions then hand on to their outputs.

    Convolution networks run 1.1 to 1.5 times faster that way on CPUs, more on GPUs with mixed precision. Results
    differ in the last bits only; checkpoints are the same.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model once; loading a checkpoint later keeps the layout."""
        runner.model.to(memory_format=torch.channels_last)
