"""The model of a runner, without what distributed training wraps around it."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

__all__ = ['find_module', 'unwrap_model']


def unwrap_model(runner: Runner) -> nn.Module:
    """Return the model that the config describes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def find_module(runner: Runner, name: str, owner: str) -> nn.Module:
    """Return a module of the model by its dotted name.

    Args:
        runner: Has the model.
        name: Such as ``'backbone.layer1'``.
        owner: Who asks, for the message.

    Raises:
        ValueError: The model has no such module.
    """
    try:
        return unwrap_model(runner).get_submodule(name)
    except AttributeError as error:
        raise ValueError(f'{owner}: the model has no module {name!r} ({error})') from None
