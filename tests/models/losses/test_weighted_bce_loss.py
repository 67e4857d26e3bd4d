import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mlic_mm.models import MultiLabelBCELoss, WeightedBCELoss

RATIO = (0.1, 0.5, 0.9, 0.0, 1.0)


def literal(score: Tensor, target: Tensor, ratio: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 2 and 3 in float64, the loss of every label and its derivative."""
    x, y, p = (t.detach().double().numpy() for t in (score, target, ratio))
    y = y.clip(0)
    positive, negative = np.exp(1 - p) * y, np.exp(p) * (1 - y)
    # ln σ(x) = −ln(1 + e^−x), written so that it does not overflow.
    loss = positive * np.logaddexp(0, -x) + negative * np.logaddexp(0, x)
    gradient = -positive / (1 + np.exp(x)) + negative / (1 + np.exp(-x))
    known = target.numpy() >= 0
    return loss * known, gradient * known


def test_by_hand() -> None:
    """p = 1/4: present weighs e^(3/4), absent e^(1/4); at logit 0 each label costs ln 2; mean over two images."""
    loss = WeightedBCELoss([0.25, 0.25])
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    expected = (math.exp(0.75) + 3 * math.exp(0.25)) * math.log(2) / 2
    assert loss(torch.zeros(2, 2), target).item() == pytest.approx(expected)
    # One label at logit ln 3, where σ = 3/4.
    single = WeightedBCELoss([0.25])(torch.tensor([[math.log(3)]]), torch.tensor([[1.0]]))
    assert single.item() == pytest.approx(math.exp(0.75) * math.log(4 / 3))


def test_soft_ignored_and_image_weights_by_hand() -> None:
    loss = WeightedBCELoss([0.25, 0.25], loss_weight=3.0)
    target = torch.tensor([[0.5, -1.0], [1.0, 1.0]])
    soft = (0.5 * math.exp(0.75) + 0.5 * math.exp(0.25)) * math.log(2)
    assert loss(torch.zeros(2, 2), target, weight=torch.tensor([2.0, 0.0]), avg_factor=4).item() == pytest.approx(
        3 * 2 * soft / 4
    )
    assert loss(torch.zeros(2, 2), -torch.ones(2, 2)).item() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 30))
def test_equals_the_literal_formula(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    score = (torch.randn(4, 5) * spread).requires_grad_()
    target = torch.stack([torch.randint(-1, 2, (4, 5)).float(), torch.rand(4, 5)])[torch.randint(2, ())]
    module = WeightedBCELoss(RATIO)
    loss = module(score, target)
    loss.backward()
    expected, gradient = literal(score, target, module.positive_ratio)
    assert score.grad is not None
    assert loss.item() == pytest.approx(expected.sum() / 4, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(score.grad.numpy(), gradient / 4, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('logit', [50.0, -50.0, 11.5, -0.25])
@pytest.mark.parametrize('model', ['float32', 'half'])
def test_half_precision_at_large_logits(dtype: torch.dtype, logit: float, model: str) -> None:
    """Against float64 of the same logits; the gradient is as exact as its own type can be."""
    module = WeightedBCELoss(RATIO)
    if model == 'half':
        module.to(dtype)
    target = torch.tensor([[1.0] * 5, [0.0] * 5, [0.5] * 5, [-1.0] * 5])
    score = torch.full((4, 5), logit, dtype=dtype, requires_grad=True)
    loss = module(score, target.to(dtype))
    loss.backward()
    expected, gradient = literal(score, target, module.positive_ratio)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.sum() / 4, rel=1e-6)
    assert score.grad is not None
    np.testing.assert_allclose(score.grad.float().numpy(), gradient / 4, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_single_labels_under_autocast(dtype: torch.dtype) -> None:
    """A label that is right costs nothing, one that is wrong 50 times its weight."""
    module = WeightedBCELoss([0.25])
    with torch.autocast('cpu', dtype=dtype):
        for logit, label, expected in (
            (50, 1, 0),
            (-50, 0, 0),
            (-50, 1, 50 * math.exp(0.75)),
            (50, 0, 50 * math.exp(0.25)),
        ):
            loss = module(torch.full((1, 1), float(logit), dtype=dtype), torch.full((1, 1), float(label)))
            assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_ratio_of_one_half_is_the_plain_loss_scaled() -> None:
    score, target = torch.randn(3, 4), torch.randint(-1, 2, (3, 4))
    plain = MultiLabelBCELoss()(score, target)
    torch.testing.assert_close(WeightedBCELoss([0.5] * 4)(score, target), plain * math.exp(0.5))


def test_without_ratios_the_message_names_the_cure() -> None:
    with pytest.raises(
        ValueError, match=r'0 labels for 3: add custom_hooks=.*mlic_mm\.PositiveRatioHook.* or set positive'
    ):
        WeightedBCELoss()(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match='2 labels for 3: use the ratios of this training set'):
        WeightedBCELoss([0.5, 0.5])(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r'logits have shape \(1, 2\), targets \(1, 3\)'):
        WeightedBCELoss([0.5, 0.5])(torch.zeros(1, 2), torch.zeros(1, 3))


@pytest.mark.parametrize('ratio', [[0.5, 1.1], [-0.1], [float('nan')], [[0.5]]])
def test_ratios_that_are_none(ratio: list) -> None:
    with pytest.raises(ValueError, match=r'positive_ratio=.* must be \(C,\) numbers in \[0, 1\]'):
        WeightedBCELoss(ratio)


def head(**loss: object) -> nn.Module:
    return MODELS.build(
        dict(
            type='mmpretrain.MultiLabelLinearClsHead',
            num_classes=2,
            in_channels=3,
            loss=dict(type='mlic_mm.WeightedBCELoss', **loss),
        )
    )


@pytest.mark.parametrize('built', [{}, dict(positive_ratio=[0.0, 0.0])])
@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
def test_checkpoint_holds_the_ratios(built: dict, loader: str) -> None:
    """A head built without ratios takes them, one with others takes them over."""
    state = head(positive_ratio=[0.25, 0.75]).state_dict()
    assert set(state) == {'fc.weight', 'fc.bias', 'loss_module.positive_ratio'}
    other = head(**built)
    if loader == 'torch':
        other.load_state_dict(state)
    else:
        load_state_dict(other, state, strict=True)
    assert other.loss_module.positive_ratio.tolist() == [0.25, 0.75]
    assert other.state_dict().keys() == state.keys()


def test_ratios_of_other_labels_are_refused_by_loading() -> None:
    with pytest.raises(RuntimeError, match=r'size mismatch for loss_module\.positive_ratio'):
        head(positive_ratio=[0.5] * 3).load_state_dict(head(positive_ratio=[0.25, 0.75]).state_dict())


def test_empty_state_is_loaded_into_empty_state() -> None:
    other = head()
    other.load_state_dict(head().state_dict())
    assert other.loss_module.positive_ratio.shape == (0,)


def test_copies_are_their_own() -> None:
    module = WeightedBCELoss([0.25, 0.75])
    twin = copy.deepcopy(module)
    module.set_positive_ratio(torch.tensor([0.5, 0.5]))
    assert twin.positive_ratio.tolist() == [0.25, 0.75]


def test_loading_leaves_what_was_given_as_it_is() -> None:
    given = torch.tensor([0.5, 0.5])
    other = head()
    other.loss_module.set_positive_ratio(given)
    other.load_state_dict(head(positive_ratio=[0.25, 0.75]).state_dict())
    assert given.tolist() == [0.5, 0.5]


@pytest.mark.parametrize('update_buffers', [False, True])
def test_averaged_model_has_them_too(update_buffers: bool) -> None:
    source = head(positive_ratio=[0.25, 0.75])
    average = ExponentialMovingAverage(source, update_buffers=update_buffers)
    source.loss_module.set_positive_ratio(torch.tensor([0.5, 0.125], dtype=torch.float64))
    assert source.loss_module.positive_ratio.dtype == torch.float32
    average.update_parameters(source)
    average.update_parameters(source)
    assert average.module.loss_module.positive_ratio.tolist() == [0.5, 0.125]
