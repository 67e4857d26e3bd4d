"""The model of a runner, without the wrapper of distributed training."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

__all__ = ['unwrap_model']


def unwrap_model(runner: Runner) -> nn.Module:
    """Return the model that the config describes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
