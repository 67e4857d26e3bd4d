import math
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS

from mlic_mm.models.losses import AttentionConsistencyLoss, attention_distance


def test_by_hand() -> None:
    """Two labels on 1 × 2 places: differences (3, 4) and (0, 2) in one image, none in the other."""
    moved = torch.tensor([[[[3.0, 4.0]], [[1.0, 2.0]]], [[[7.0, 7.0]], [[7.0, 7.0]]]])
    seen = torch.tensor([[[[0.0, 0.0]], [[1.0, 4.0]]], [[[7.0, 7.0]], [[7.0, 7.0]]]])
    assert attention_distance(moved, seen).tolist() == [(25 + 4) / 4, 0]
    assert attention_distance(moved, seen, distance='norm').tolist() == [(5 + 2) / 4, 0]
    weight = torch.tensor([[0, 3]])  # the first place is not compared, the second stands for three
    assert attention_distance(moved, seen, weight).tolist() == [pytest.approx((3 * 16 + 3 * 4) / 2 / 3), 0]
    norm = (math.sqrt(3 * 16) + math.sqrt(3 * 4)) / 2 / 3
    assert attention_distance(moved, seen, weight, 'norm').tolist() == [pytest.approx(norm), 0]


def test_mse_is_the_mean_square() -> None:
    moved, seen = torch.randn(2, 3, 4, 5, 6)
    torch.testing.assert_close(AttentionConsistencyLoss()([(moved, seen, None)]), (moved - seen).square().mean())


def test_reductions() -> None:
    """Mean over images, sum over transforms (Eq. 7), times λ; transforms of other sizes and weights side by side."""
    pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = [
        (torch.full((2, 3, 7, 7), 2.0), torch.zeros(2, 3, 7, 7), None),
        (torch.ones(2, 3, 4, 6), torch.zeros(2, 3, 4, 6), torch.eye(6)[:4]),
    ]
    assert AttentionConsistencyLoss()(pairs).item() == 4 + 1
    assert AttentionConsistencyLoss(loss_weight=0.5)(pairs).item() == 2.5
    assert AttentionConsistencyLoss(loss_weight=0)(pairs).item() == 0
    # The literal norm falls with the size of the map: √(49·4)/49 and √4/4.
    assert AttentionConsistencyLoss(distance='norm')(pairs).item() == pytest.approx(2 / 7 + 1 / 2)
    assert AttentionConsistencyLoss()([pairs[0], pairs[0]]).item() == 8


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('distance', ['mse', 'norm'])
def test_large_half_precision_maps(dtype: torch.dtype, distance: str) -> None:
    """600 squared is beyond float16."""
    moved = torch.full((1, 2, 7, 7), 300.0, dtype=dtype, requires_grad=True)
    loss = AttentionConsistencyLoss(distance=distance)([(moved, -moved.detach(), torch.ones(7, 7, dtype=dtype))])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(600**2 if distance == 'mse' else 600 / 7, rel=1e-6)
    loss.backward()
    assert moved.grad is not None
    expected = 2 * 600 / (2 * 49) if distance == 'mse' else 1 / 7 / 49 / 2
    torch.testing.assert_close(moved.grad.float(), torch.full((1, 2, 7, 7), expected), rtol=1e-2, atol=0)


@pytest.mark.parametrize('weight', [None, torch.eye(3)])
@pytest.mark.parametrize('distance', ['mse', 'norm'])
def test_gradient_of_equal_maps_is_zero(distance: str, weight: torch.Tensor | None) -> None:
    moved = torch.randn(2, 2, 3, 3, requires_grad=True)
    AttentionConsistencyLoss(distance=distance)([(moved, moved.detach().clone(), weight)]).backward()
    assert moved.grad is not None
    assert (moved.grad == 0).all()


def test_gradients_reach_both_sides() -> None:
    moved, seen = (torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.tensor([[0, 1, 2]] * 3)
    for distance in ('mse', 'norm'):
        assert torch.autograd.gradcheck(
            lambda a, b, name=distance: attention_distance(a, b, weight, name), (moved, seen)
        )


def test_levels_and_options() -> None:
    for level in ('feature', 'attention', 'label'):
        loss = MODELS.build(dict(type='mlic_mm.AttentionConsistencyLoss', level=level, loss_weight=2.0))
        assert (loss.level, loss.distance, loss.loss_weight) == (level, 'mse', 2.0)
    assert AttentionConsistencyLoss().level == 'attention'
    assert not AttentionConsistencyLoss().state_dict()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(level='logit'), "level='logit' must be one of feature, attention, label"),
        (dict(distance='l1'), "distance='l1' must be one of mse, norm"),
        (dict(loss_weight=-1), 'loss_weight=-1 must be a number at least 0'),
    ],
)
def test_unknown_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttentionConsistencyLoss(**options)


@pytest.mark.parametrize(
    ('first', 'second'), [((1, 2, 7, 7), (1, 2, 6, 6)), ((1, 2, 7, 7), (1, 1, 7, 7)), ((4, 2), (4, 2))]
)
def test_maps_that_do_not_match(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r'maps of shapes .* both must be \(N, C, H, W\)'):
        attention_distance(torch.zeros(first), torch.zeros(second))
