"""Channels-last memory for convolutions."""

import gc
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store weights in channels-last memory format. Outputs of convolutions then have this format as well.

    Convolution networks become 1.1 to 1.5 times faster on CPUs, and gain more on GPUs with mixed precision. Results
    differ in the last bits only. Checkpoints are the same.

    Two kinds of layers get copies of their inputs in the usual format:

    - mmcv's compiled ops, such as RoIAlign: they silently read channels-last maps as maps in the usual format;
    - 1 × 1 convolutions with a stride and fewer than 16 input channels on a CPU: oneDNN writes beyond their memory on
      processors with AVX-512.

    ``DistributedDataParallel`` keeps the strides that the parameters have when the model is wrapped. With other strides
    later, the gradients of the first step would be wrong. So the hook wraps the model again.

    Examples:
        >>> from types import SimpleNamespace
        >>> runner = SimpleNamespace(model=nn.Conv2d(16, 32, 3))
        >>> HOOKS.build(dict(type='mlic_mm.ChannelsLastHook')).before_run(runner)
        >>> runner.model.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model. A checkpoint that is loaded later keeps the format."""
        model = unwrap_model(runner)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_cpu = all(parameter.device.type == 'cpu' for parameter in model.parameters())
        kept = []
        for name, module in model.named_modules():
            unsafe = on_cpu and _corrupts_memory(module)
            if unsafe:
                module.to(memory_format=torch.contiguous_format)
                kept.append(name)
            if unsafe or type(module).__module__.startswith('mmcv.ops.'):
                module.register_forward_pre_hook(_contiguous)
        if kept:
            runner.logger.info(
                f'ChannelsLastHook: {len(kept)} small convolutions keep the usual memory format, because oneDNN '
                f'corrupts memory if they are channels-last: {", ".join(kept[:5])}{" …" if len(kept) > 5 else ""}'
            )
        if isinstance(runner.model, DistributedDataParallel):
            _wrap_anew(runner, model)


def _wrap_anew(runner: Runner, model: nn.Module) -> None:
    """Wrap the model again, so that the buckets of gradients have the new strides."""
    runner.model = model
    gc.collect()  # the old wrapper takes its hooks off the parameters when it goes, and it is part of a cycle
    runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)


def _corrupts_memory(module: nn.Module) -> bool:
    """Return whether oneDNN fails on a channels-last layer; tried with torch 2.11 over kernels, strides, channels."""
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels // module.groups < 16
    )


def _contiguous(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg.contiguous() if isinstance(arg, torch.Tensor) else arg for arg in args)
