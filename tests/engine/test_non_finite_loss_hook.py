"""A loss that is not finite stops the training before the step it would spoil."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

pytestmark = pytest.mark.integration

BuildRunner = Callable[..., Runner]


class Poison(Hook):
    """Turn the images of one iteration into NaN, and keep the weights from before it."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration:
            self.weights = {name: value.detach().clone() for name, value in runner.model.named_parameters()}
            self.names = [sample.img_id for sample in data_batch['data_samples']]
            data_batch['inputs'] = data_batch['inputs'].float() * float('nan')


def test_bad_batch_takes_no_step_and_is_named(runner: BuildRunner) -> None:
    built, poison = runner(), Poison(4)
    built.register_hook(poison)
    with pytest.raises(FloatingPointError, match='epoch 2, iteration 5: loss=nan') as error:
        built.train()
    assert f'images of the batch: {", ".join(poison.names)};' in str(error.value)
    assert 'the weights are finite and this batch took no step' in str(error.value)
    assert 'lower optim_wrapper.optimizer.lr' in str(error.value)
    assert built.model.training
    for name, value in built.model.named_parameters():
        assert torch.equal(value, poison.weights[name])


def test_weights_that_an_earlier_step_spoilt_are_named(runner: BuildRunner) -> None:
    with pytest.raises(FloatingPointError, match=r'iteration 2: .* parameters, first .* were not finite already'):
        runner(optim_wrapper__optimizer__lr=float('inf'), param_scheduler=None).train()


def test_it_leaves_the_model_as_it_was(runner: BuildRunner) -> None:
    built = runner(train_cfg__max_epochs=1)
    built.train()
    assert not built.model._forward_hooks
