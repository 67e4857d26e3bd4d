"""What cannot read the memory format that convolutions are faster in."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mlic_mm.engine.hooks import ChannelsLastHook

pytestmark = pytest.mark.integration


@pytest.mark.skipif(find_spec('mmcv._ext') is None, reason='no compiled ops of mmcv: make test installs them')
def test_ops_of_mmcv_read_it_right(runner: Callable[..., Runner]) -> None:
    """Alone, mmcv's RoIAlign gives other features for the same maps in channels_last."""
    from mmcv.ops import RoIAlign

    built = runner()
    align = RoIAlign(output_size=2, spatial_scale=0.5, sampling_ratio=2)
    maps = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    turned = maps.contiguous(memory_format=torch.channels_last)
    rois = torch.tensor([[0.0, 1, 2, 9, 13]])
    expected = align(maps, rois)
    assert not torch.allclose(align(turned, rois), expected)
    built.model.align = align
    ChannelsLastHook().before_run(built)
    torch.testing.assert_close(align(turned, rois), expected)


def test_small_strided_convolutions_stay_as_they_are(
    runner: Callable[..., Runner], caplog: pytest.LogCaptureFixture
) -> None:
    """oneDNN writes beyond its memory there (AVX-512): in channels-last, with fewer than 16 input channels."""
    built = runner()
    sizes = dict(
        unsafe=(8, 8, 1, 2), grouped=(32, 32, 1, 2), wide=(16, 8, 1, 2), still=(8, 8, 1, 1), large=(8, 8, 3, 2)
    )
    groups = dict(grouped=4)
    layers = {n: nn.Conv2d(*size, groups=groups.get(n, 1)) for n, size in sizes.items()}
    built.model.layers = nn.ModuleDict(layers)
    seen: dict[str, bool] = {}
    ChannelsLastHook().before_run(built)
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, args, out, name=name: seen.update({name: args[0].is_contiguous()}))
        maps = torch.rand(2, layer.in_channels, 6, 6).contiguous(memory_format=torch.channels_last)
        plain = nn.functional.conv2d(
            maps.contiguous(), layer.weight.contiguous(), layer.bias, layer.stride, 0, 1, layer.groups
        )
        torch.testing.assert_close(layer(maps), plain)
    assert seen == dict(unsafe=True, grouped=True, wide=False, still=False, large=False)
    assert all(layers[name].weight.is_contiguous() for name in ('unsafe', 'grouped'))
    assert layers['large'].weight.is_contiguous(memory_format=torch.channels_last)
