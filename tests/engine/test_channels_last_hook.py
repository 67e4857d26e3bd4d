"""What cannot read the memory format that convolutions are faster in."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from mmengine.runner import Runner

from mlic_mm.engine.hooks import ChannelsLastHook


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
