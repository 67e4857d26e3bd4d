"""Boxes as arrays and as tensors."""

import math

import numpy as np
import pytest
import torch

from mlic_mm.utils.boxes import has_area, image_frame


@pytest.mark.parametrize('make', [np.array, torch.tensor])
def test_boxes_with_an_area(make: type) -> None:
    boxes = make([[0.0, 0, 2, 3], [1, 1, 1, 3], [1, 3, 2, 3], [2, 0, 1, 3], [0, 0, math.nan, 3], [-2, -2, -1, -1]])
    assert has_area(boxes).tolist() == [True, False, False, False, False, True]
    assert has_area(boxes[:0]).tolist() == []


@pytest.mark.parametrize('make', [np.array, torch.tensor])
def test_frame_takes_pixels_to_fractions(make: type) -> None:
    assert (make([[10.0, 5, 40, 20]]) / make(image_frame(40, 20))).tolist() == [[0.25, 0.25, 1, 1]]
