"""Networks whose maps move as the image does have no loss, those that do not have one; errors; further transforms.

The common grid of maps that do not divide is in ``test_common_grid.py``.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mlic_mm.models import AttentionConsistencyLoss
from mlic_mm.models.view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform
from mlic_mm.registry import TASK_UTILS

STRIDE = 8
FLIPS = [dict(type='FlipView', direction=direction) for direction in ('horizontal', 'vertical', 'diagonal')]
TURNS = [dict(type='Rotate90View', turns=turns) for turns in (1, 2, 3)]
SHIFTS = [dict(type='TranslateView', x=x, y=y) for x, y in ((8, 0), (-16, 0), (0, 24), (0, -8), (16, -8), (-24, 16))]
COMPOSED: list[list[dict[str, Any]]] = [
    [FLIPS[0], FLIPS[1]],
    [TURNS[0], FLIPS[0]],
    [TURNS[0], SHIFTS[4]],
    [SHIFTS[4], TURNS[2]],
    [SHIFTS[0], SHIFTS[3], FLIPS[2]],
]
EXACT = [*FLIPS, *TURNS, *SHIFTS, *(dict(type='ComposeView', views=views) for views in COMPOSED)]

Network = Callable[[Tensor], Tensor]


def build(config: dict[str, Any]) -> ViewTransform:
    """Build a transform from a config without scopes."""
    config = {**config, 'type': f'mlic_mm.{config["type"]}'}
    if 'views' in config:
        config['views'] = [build(view) for view in config['views']]
    return TASK_UTILS.build(config)


def integers(*shape: int) -> Tensor:
    """Whole numbers as float64: sums of them and means over 64 are exact."""
    return torch.randint(-50, 50, shape, generator=torch.Generator().manual_seed(0)).double()


KERNEL = integers(4, 3)[:, :, None, None]


def cell_means(images: Tensor) -> Tensor:
    """Equivariant: a 1 × 1 convolution, a bend, and the mean of every cell of 8 × 8 pixels."""
    return F.avg_pool2d(F.conv2d(images, KERNEL).relu(), STRIDE)


def with_position(network: Network, axis: int) -> Network:
    """Not equivariant: adds a ramp along an axis."""

    def forward(images: Tensor) -> Tensor:
        maps = network(images)
        ramp = torch.arange(maps.size(axis), dtype=maps.dtype) ** 2
        return maps + (ramp if axis == 3 else ramp[:, None])

    return forward


def with_wide_sight(images: Tensor) -> Tensor:
    """Equivariant under rotations, but sees past the cell: places that entered the picture change their neighbours."""
    return F.avg_pool2d(cell_means(images), 3, stride=1, padding=1)


def loss_of(view: ViewTransform, network: Network, images: Tensor, distance: str = 'mse') -> float:
    pair = view.pair(network(images), network(view.image(images)), tuple(images.shape[-2:]))
    return AttentionConsistencyLoss(distance=distance)([pair]).item()


@pytest.mark.parametrize('distance', ['mse', 'norm'])
@pytest.mark.parametrize('config', EXACT, ids=lambda config: build(config).name)
def test_equivariant_network_has_no_loss(config: dict[str, Any], distance: str) -> None:
    """Also on images that are not square, and without a tolerance, since all numbers are exact."""
    view = build(config)
    images = integers(2, 3, 4 * STRIDE, 6 * STRIDE)
    assert loss_of(view, cell_means, images, distance) == 0
    ramps = [loss_of(view, with_position(cell_means, axis), images, distance) for axis in (2, 3)]
    assert max(ramps) > 1e-3


@pytest.mark.parametrize('config', EXACT, ids=lambda config: build(config).name)
def test_image_moves_as_the_map(config: dict[str, Any]) -> None:
    """Of a network that is no network at all, where a pixel is a cell of 8 × 8."""
    view = build(config)
    maps = integers(1, 3, 4, 6)
    images = maps.repeat_interleave(STRIDE, 2).repeat_interleave(STRIDE, 3)
    moved = view.move(maps, (32, 48))
    assert torch.equal(view.image(images), moved.repeat_interleave(STRIDE, 2).repeat_interleave(STRIDE, 3))
    assert view.view_size((32, 48)) == tuple(view.image(images).shape[-2:])


def test_what_enters_the_picture_is_not_compared() -> None:
    """A picture of 2 × 3 cells, moved by one to the right and one up: two cells are left."""
    view = TranslateView(x=STRIDE, y=-STRIDE)
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    seen = torch.full((1, 1, 2, 3), 100.0)
    seen[0, 0, 0, 1:] = torch.tensor([3.0, 6.0])
    moved, _, weight = pair = view.pair(maps, seen, (2 * STRIDE, 3 * STRIDE))
    assert moved[0, 0].tolist() == [[0, 3, 4], [0, 0, 0]]
    assert weight is not None
    assert weight.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert AttentionConsistencyLoss()([pair]).item() == (6 - 4) ** 2 / 2


def test_gaps_follow_the_transforms_after_them() -> None:
    view = ComposeView([TranslateView(x=STRIDE), Rotate90View(1), FlipView('horizontal')])
    weight = view.pair(torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 3, 2), (2 * STRIDE, 3 * STRIDE)).weight
    assert weight is not None
    assert weight.tolist() == [[1, 1], [1, 1], [0, 0]]  # the left column turns to the bottom row


def test_wide_receptive_field_shows_at_the_border_of_a_translation_only() -> None:
    images = integers(1, 3, 6 * STRIDE, 6 * STRIDE)
    assert all(loss_of(build(config), with_wide_sight, images) < 1e-20 for config in (*FLIPS, *TURNS))
    assert loss_of(TranslateView(x=STRIDE), with_wide_sight, images) > 1e-3


def test_scale_of_a_whole_picture_leaves_maps_in_place() -> None:
    view = ScaleView((3 * STRIDE, 5 * STRIDE))
    maps = integers(1, 2, 4, 6)
    assert view.move(maps, (32, 48)) is maps
    assert view.image(integers(1, 3, 32, 48)).shape == (1, 3, 24, 40)
    assert view.view_size((32, 48)) == (24, 40)


def test_names_are_distinct_and_short() -> None:
    names = [build(config).name for config in EXACT]
    assert len(set(names)) == len(names)
    composed = ComposeView([FlipView(), dict(type='mlic_mm.ScaleView', size=192)])
    assert [composed.name, ScaleView((192, 96)).name, Rotate90View(3).name, TranslateView(-8, 8).name] == [
        'flip+scale_192',
        'scale_192x96',
        'rotate270',
        'translate_-8_8',
    ]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='FlipView', direction='up'), "direction='up' must be one of horizontal, vertical, diagonal"),
        (dict(type='Rotate90View', turns=0), 'turns=0 must be one of 1, 2, 3'),
        (dict(type='Rotate90View', turns=90), 'turns=90 must be one of'),
        (dict(type='TranslateView', x=0, y=0), 'x=0 and y=0 must not both be 0'),
        (dict(type='ScaleView', size=0), 'size=0 must be the side of a square'),
        (dict(type='ScaleView', size=(8, 8, 8)), r'size=\(8, 8, 8\) must be'),
        (dict(type='ScaleView', size=0.5), r'size=0\.5 must be'),
        (dict(type='ComposeView', views=FLIPS[:1]), r"views=\['flip'\] must be at least two"),
    ],
)
def test_options_that_are_none(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(config)


def test_translations_that_fit_no_grid() -> None:
    with pytest.raises(ValueError, match=r'x=12 px is 1\.50 cells of a map with 6 cells for 48 px'):
        TranslateView(x=12).move(torch.zeros(1, 1, 4, 6), (32, 48))
    with pytest.raises(ValueError, match=r'y=-8 px is -1\.20 cells .* size is one'):
        TranslateView(x=0, y=-8).move(torch.zeros(1, 1, 6, 6), (40, 48))
    with pytest.raises(ValueError, match='in a ComposeView translate before scaling'):
        ComposeView([ScaleView(40), TranslateView(x=8)]).move(torch.zeros(1, 1, 6, 6), (48, 48))
    for view in (TranslateView(x=48), TranslateView(x=0, y=-32)):
        with pytest.raises(ValueError, match='moves images of 48 × 32 px out of view'):
            view.image(torch.zeros(1, 3, 32, 48))


def test_another_transform_needs_nothing_but_itself() -> None:
    """The picture mirrored at its diagonal, as a third party would register it."""

    class TransposeView(ViewTransform):
        name = 'transpose'

        def image(self, images: Tensor) -> Tensor:
            return images.transpose(2, 3)

        def move(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
            return maps.transpose(2, 3)

        def view_size(self, size: tuple[int, int]) -> tuple[int, int]:
            return size[::-1]

    TASK_UTILS.register_module(module=TransposeView)
    try:
        config = dict(type='mlic_mm.ComposeView', views=[dict(type='mlic_mm.TransposeView'), TranslateView(x=STRIDE)])
        images = integers(2, 3, 4 * STRIDE, 6 * STRIDE)
        for view in (TASK_UTILS.build(dict(type='mlic_mm.TransposeView')), TASK_UTILS.build(config)):
            assert loss_of(view, cell_means, images) == 0
            assert loss_of(view, with_position(cell_means, 3), images) > 1
    finally:
        TASK_UTILS.module_dict.pop('TransposeView')
