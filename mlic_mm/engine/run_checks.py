"""What hooks ask of a run before it starts."""

from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

__all__ = ['require_epochs', 'require_unused_parameters']


def require_epochs(runner: Runner, purpose: str) -> None:
    """Refuse a training that counts iterations.

    Args:
        runner: Has the loop.
        purpose: Who needs epochs and for what, such as ``'MyHook acts at an epoch'``.

    Raises:
        ValueError: The loop has no epochs.
    """
    if not isinstance(runner.train_loop, EpochBasedTrainLoop):
        raise ValueError(
            f'{purpose}, but {type(runner.train_loop).__name__} has none: set '
            'train_cfg=dict(by_epoch=True, max_epochs=…)'
        )


def require_unused_parameters(runner: Runner, owner: str, which: str) -> None:
    """Refuse several processes that would wait for gradients that do not come.

    Args:
        runner: Has the model.
        owner: Who asks, for the message.
        which: The rest of 'several processes wait for gradients of every parameter, '.

    Raises:
        ValueError: Several processes without ``find_unused_parameters=True``.
    """
    if is_model_wrapper(runner.model) and not getattr(runner.model, 'find_unused_parameters', True):
        raise ValueError(
            f'{owner}: several processes wait for gradients of every parameter, {which}; set '
            'find_unused_parameters=True in the config'
        )
