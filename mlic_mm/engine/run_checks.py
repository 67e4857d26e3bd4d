"""Checks of a run before it starts."""

import copy
import inspect

import numpy as np
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from mlic_mm.evaluation import MLICMetric, evaluate_scores
from mlic_mm.utils.choices import did_you_mean

__all__ = ['check_monitors', 'require_epochs', 'require_unused_parameters']


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


def require_unused_parameters(runner: Runner) -> None:
    """Refuse several processes that would wait for gradients that do not come, as some parameters are not used.

    Raises:
        ValueError: Several processes without ``find_unused_parameters=True``.
    """
    if is_model_wrapper(runner.model) and not getattr(runner.model, 'find_unused_parameters', True):
        raise ValueError(
            'several processes wait for gradients of every parameter, but this training leaves some parameters unused '
            'for a time: set find_unused_parameters=True in the config'
        )


def check_monitors(runner: Runner) -> None:
    """Refuse hooks that would fail after the first epoch, as they watch a figure that validation does not give.

    Args:
        runner: Before its training. Metrics of other packages do not say what they give: beside one of them nothing
            is checked.

    Raises:
        ValueError: Names the hook, the figure and those that there are.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            if not isinstance(hook.interval, int):
                raise ValueError(f'{type(hook).__name__}: interval={hook.interval!r} must be a whole number')
            known = list(inspect.signature(runner.save_checkpoint).parameters)
            for name in hook.args or {}:
                if name not in known:
                    raise ValueError(f'{type(hook).__name__} has no argument {name!r}{did_you_mean(name, known, 1)}')
    if runner.cfg.get('val_evaluator') is None:
        return
    metrics = runner.build_evaluator(copy.deepcopy(runner.cfg.val_evaluator)).metrics
    if not metrics or not all(isinstance(metric, MLICMetric) for metric in metrics):
        return
    given = [name for metric in metrics for name in _figure_names(metric)]
    for hook in runner.hooks:
        option = 'save_best' if isinstance(hook, CheckpointHook) else 'monitor'
        watched = getattr(hook, option) if isinstance(hook, CheckpointHook | EarlyStoppingHook) else None
        watched = watched or []
        for name in [watched] if isinstance(watched, str) else watched:
            if name != 'auto' and name not in given:
                raise ValueError(
                    f'{type(hook).__name__}: {option}={name!r}, but validation gives no such figure'
                    + did_you_mean(name, given, 1, listed=len(given))
                )


def _figure_names(metric: MLICMetric) -> list[str]:
    """Return the names of a metric's figures, from an evaluation of two images with half of the labels each."""
    threshold = metric.protocol.threshold
    size = len(threshold) if isinstance(threshold, tuple) else max(4, metric.protocol.topk or 1)
    targets = np.indices((2, size)).sum(0) % 2  # each label has a positive and a negative, for AUROC
    names = evaluate_scores(targets * 0.5, targets, metric.protocol)
    return [f'{metric.prefix}/{name}' if metric.prefix else name for name in names]
