"""Maps of different sizes: the pieces of a common grid are upscaling to the least common multiple, to the last sum."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mlic_mm.models.losses import AttentionConsistencyLoss, attention_distance
from mlic_mm.models.view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform

SIDES = st.integers(1, 9)
CELL = 16


def upscale(maps: Tensor, height: int, width: int) -> Tensor:
    return maps.repeat_interleave(height // maps.size(2), 2).repeat_interleave(width // maps.size(3), 3)


def literal_distance(moved: Tensor, seen: Tensor, compared: Tensor, distance: str) -> Tensor:
    """Eq. 5 on the grid of the least common multiple, over the cells that are ``compared`` in the grid of ``moved``."""
    height, width = (math.lcm(moved.size(dim), seen.size(dim)) for dim in (2, 3))
    compared = upscale(compared, height, width)
    difference = (upscale(moved, height, width) - upscale(seen, height, width)) * compared
    squares = difference.square().sum((2, 3))
    return (squares.sqrt() if distance == 'norm' else squares).mean(1) / compared.sum()


def test_seven_by_six_by_hand() -> None:
    """The example of section 3.3: 42 × 42, cut into 12 × 12 pieces."""
    moved, seen, weight = ScaleView(192).pair(torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 6, 6), (224, 224))
    assert weight is not None
    assert moved.shape == seen.shape == (1, 1, 12, 12)
    sides = [6, 1, 5, 2, 4, 3, 3, 4, 2, 5, 1, 6]
    assert weight.tolist() == [[a * b for b in sides] for a in sides]


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(-3, 3), st.sampled_from(['mse', 'norm']), st.integers(0, 99))
def test_pieces_are_the_literal_upscaling(
    height: int, width: int, view_height: int, view_width: int, shift: int, distance: str, seed: int
) -> None:
    """The value and both gradients, with the gaps of a translation too."""
    torch.manual_seed(seed)
    maps = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    seen = torch.randn(2, 3, view_height, view_width, dtype=torch.float64, requires_grad=True)
    view: ViewTransform = ScaleView((CELL * view_height, CELL * view_width))
    compared = torch.ones(1, 1, height, width, dtype=torch.float64)
    if shift % width == shift and shift:
        view = ComposeView([TranslateView(x=CELL * shift), view])
        compared[..., :shift] = 0
    moved = view.move(maps, (CELL * height, CELL * width))
    expected = literal_distance(moved, seen, compared, distance)
    found = attention_distance(*view.pair(maps, seen, (CELL * height, CELL * width)), distance=distance)
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad(found.sum(), (maps, seen)), torch.autograd.grad(expected.sum(), (maps, seen)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_counts_cells_right(dtype: torch.dtype) -> None:
    """17 × 17 and 16 × 16 meet on 272 × 272, more cells than float16 can count and finer than bfloat16 can."""
    view = ComposeView([TranslateView(x=32), ScaleView(512)])
    maps, seen = torch.randn(2, 1, 3, 17, 17).to(dtype)[0], torch.randn(1, 3, 16, 16).to(dtype)
    exact = attention_distance(*view.pair(maps.double(), seen.double(), (544, 544)))
    found = attention_distance(*view.pair(maps, seen, (544, 544)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


def test_grid_made_in_inference_mode_serves_training() -> None:
    view, seen = ScaleView(13 * CELL), torch.zeros(1, 1, 13, 13)
    with torch.inference_mode():
        view.pair(torch.zeros(1, 1, 11, 11), seen, (11 * CELL, 11 * CELL))
    maps = torch.ones(1, 1, 11, 11, requires_grad=True)
    AttentionConsistencyLoss()([view.pair(maps, seen, (11 * CELL, 11 * CELL))]).backward()
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad, torch.full_like(maps, 2 / 121))


def cell_centres(images: Tensor) -> Tensor:
    """Equivariant under scaling of images constant in blocks: reads the middle 2 × 2 pixels of cells of 16 × 16."""
    kernel = torch.tensor([[1.0, 2.0, -1.0], [3.0, 0.0, 1.0]], dtype=images.dtype)[:, :, None, None]
    middle = torch.zeros(2, 1, CELL, CELL, dtype=images.dtype)
    middle[:, :, 7:9, 7:9] = 1 / 4
    return F.conv2d(F.conv2d(images, kernel), middle, stride=CELL, groups=2)


def blocks(cells: int, side: int) -> Tensor:
    """Images of ``cells`` × ``cells`` cells, constant in blocks of ``side`` × ``side`` cells."""
    generator = torch.Generator().manual_seed(1)
    colours = torch.randint(-9, 9, (2, 3, cells // side, cells // side), generator=generator).double()
    return upscale(colours, cells * CELL, cells * CELL)


# From, to, and the cells of a block: 6 and 4 cells share only halves, 7 and 6 only the whole picture.
SIZES = [(4, 2, 2), (4, 8, 1), (6, 3, 2), (6, 4, 3), (6, 8, 3), (9, 6, 3), (7, 6, 7), (5, 8, 5)]


@pytest.mark.parametrize('first', [None, FlipView('horizontal'), FlipView('diagonal'), Rotate90View(1)])
@pytest.mark.parametrize(('cells', 'to', 'side'), SIZES)
def test_scaled_equivariant_network_has_no_loss(cells: int, to: int, side: int, first: ViewTransform | None) -> None:
    scale = ScaleView(to * CELL)
    check(scale if first is None else ComposeView([first, scale]), blocks(cells, side))


@pytest.mark.parametrize(('cells', 'to', 'side', 'shift'), [(4, 2, 2, 2), (6, 4, 3, 3), (6, 4, 3, -3), (8, 6, 4, 4)])
def test_translated_then_scaled_equivariant_network_has_no_loss(cells: int, to: int, side: int, shift: int) -> None:
    check(ComposeView([TranslateView(x=shift * CELL), ScaleView(to * CELL)]), blocks(cells, side))


def check(view: ViewTransform, images: Tensor) -> None:
    """Interpolation's weights sum to 1 but for the last bit."""
    size = tuple(images.shape[-2:])
    maps, seen = cell_centres(images), cell_centres(view.image(images))
    assert AttentionConsistencyLoss()([view.pair(maps, seen, size)]).item() < 1e-20
    for axis in (2, 3):
        ramp = [torch.arange(float(m.size(axis))).view(*([-1, 1] if axis == 2 else [1, -1])) ** 2 for m in (maps, seen)]
        assert AttentionConsistencyLoss()([view.pair(maps + ramp[0], seen + ramp[1], size)]).item() > 0.01
