"""Trainings whose weights are kept at the end of every epoch."""

from typing import Any, TypeVar

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

State = dict[str, torch.Tensor]


class StateRecorder(Hook):
    """Keeps the weights before the training and at the end of every epoch."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.states: list[State] = []

    def before_train(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))

    def after_train_epoch(self, runner: Runner) -> None:
        self.states.append(copy_of(runner))


Recorder = TypeVar('Recorder', bound=StateRecorder)


def copy_of(runner: Runner) -> State:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def train(runner: Runner, recorder: Recorder) -> Recorder:
    runner.register_hook(recorder)
    runner.train()
    return recorder


def moved(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def decaying(hook: dict, epochs: int, **more: Any) -> dict[str, Any]:
    """AdamW, whose decay would move weights without gradients too, were it let; a validation after every epoch."""
    return dict(
        optim_wrapper__optimizer=dict(_delete_=True, type='AdamW', lr=0.01, weight_decay=0.5),
        param_scheduler=None,
        train_cfg__max_epochs=epochs,
        custom_hooks=[hook],
        default_hooks__checkpoint=dict(save_best=None, max_keep_ckpts=-1),
        **more,
    )
