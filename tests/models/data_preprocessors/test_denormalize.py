"""Normalisation undone, for an image and for a batch."""

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from mlic_mm.models.data_preprocessors import denormalize


@pytest.mark.parametrize('to_rgb', [False, True])
@pytest.mark.parametrize('scale', [{}, dict(mean=[10.0, 20.0, 30.0], std=[2.0, 3.0, 4.0])])
def test_gives_back_what_was_loaded(to_rgb: bool, scale: dict) -> None:
    raw = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    preprocessor = ClsDataPreprocessor(to_rgb=to_rgb, **scale)
    inputs = preprocessor(dict(inputs=raw))['inputs']
    torch.testing.assert_close(denormalize(inputs, preprocessor), raw)
    torch.testing.assert_close(denormalize(inputs[1], preprocessor), raw[1])


def test_a_preprocessor_of_mmengine() -> None:
    raw = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    preprocessor = ImgDataPreprocessor(mean=[10.0, 20.0, 30.0], std=[2.0, 3.0, 4.0], bgr_to_rgb=True)
    inputs = torch.stack(list(preprocessor(dict(inputs=list(raw)))['inputs']))
    torch.testing.assert_close(denormalize(inputs, preprocessor), raw)


def test_grey_images_and_other_preprocessors() -> None:
    grey = torch.rand(1, 4, 4)
    assert torch.equal(denormalize(grey, ClsDataPreprocessor(to_rgb=True)), grey)
    assert torch.equal(denormalize(grey, nn.Identity()), grey)
