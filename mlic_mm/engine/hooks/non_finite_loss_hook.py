"""Stop a training at a loss that is not finite."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop at a loss that is NaN or infinite, before it reaches the gradients and the weights.

    The hook checks the losses that the model returns. A loss scaler skips steps whose float16 gradients overflow; their
    loss is finite, and training goes on.

    Raises:
        FloatingPointError: While training; names epoch, iteration, losses, images of the batch and cures.

    Examples:
        >>> hook = HOOKS.build(dict(type='mlic_mm.NonFiniteLossHook'))  # for custom_hooks of a config
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Runner) -> None:
        """Begin to look at losses."""

        def check(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            if kwargs.get('mode') == 'loss' and isinstance(output, dict):
                self._check(runner, module, output)

        # A forward hook sees the losses of every kind of train_step, and before backward.
        self._handle = unwrap_model(runner).register_forward_hook(check, with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        """Stop looking at losses."""
        self._handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, so that an error can name its images."""
        self._batch = data_batch

    def _check(self, runner: Runner, model: nn.Module, output: dict[str, Any]) -> None:
        losses = {}
        for name, value in output.items():
            if 'loss' in name:  # mmengine's rule for what is summed and what is only logged
                values = value if isinstance(value, list | tuple) else [value]
                losses[name] = torch.stack([v.detach().float().mean() for v in values]).sum()
        # One comparison for all losses, since each waits for the device.
        if not losses or torch.isfinite(torch.stack(list(losses.values())).sum()):
            return
        # Parameters alone: running statistics of normalisation may be spoilt by this very forward pass.
        broken = [name for name, value in model.named_parameters() if not torch.isfinite(value).all()]
        if broken:
            cause = (
                f'{len(broken)} parameters, first {broken[0]}, were not finite already: an earlier step '
                'spoilt them, so resume from an earlier checkpoint'
            )
        else:
            cause = 'the weights are finite and this batch took no step, so the last checkpoint is good to resume from'
        raise FloatingPointError(
            f'loss is not finite in epoch {runner.epoch + 1}, iteration {runner.iter + 1}: '
            f'{", ".join(f"{name}={value.item():g}" for name, value in losses.items())}; '
            f'images of the batch: {", ".join(_image_names(self._batch)) or "unnamed"}; {cause}. Cures: lower '
            'optim_wrapper.optimizer.lr, add a warm-up, clip gradients (optim_wrapper.clip_grad="dict(max_norm=10)"), '
            'train without --amp or in bfloat16 (optim_wrapper.dtype=bfloat16), look at these images and their labels'
        )


def _image_names(batch: Any) -> list[str]:
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    names = (getattr(sample, 'img_id', None) or getattr(sample, 'img_path', None) for sample in samples or [])
    return [str(name) for name in names if name is not None]
