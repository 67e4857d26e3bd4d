"""The labels of a sample, in any of the forms that data sets and files have."""

import numpy as np
import pytest
import torch

from mlic_mm.utils.targets import difficult_labels, target_row


@pytest.mark.parametrize(
    'sample',
    [
        {'gt_score': np.array([1.0, 0, -1]), 'gt_label': [0]},
        {'gt_score': torch.tensor([1, 0, -1])},
        {'gt_score': [1, 0, -1]},
    ],
)
def test_scores_come_first(sample: dict) -> None:
    row = target_row(sample, 3)
    assert row.dtype == np.int8
    assert row.tolist() == [1, 0, -1]


@pytest.mark.parametrize('labels', [[0, 2], np.array([2, 0]), torch.tensor([0, 2]), (0.0, 2.0)])
def test_indices(labels: object) -> None:
    assert target_row({'gt_label': labels}, 4).tolist() == [1, 0, 1, 0]


def test_no_label_and_one_number() -> None:
    assert target_row({'gt_label': []}, 2).tolist() == [0, 0]
    assert target_row({'gt_label': 1}, 2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ({'gt_score': [1, 0]}, r'gt_score of a\.jpg has the shape \(2,\), but there are 3 classes'),
        ({'gt_label': [3]}, r'gt_label \[3\] of a\.jpg is outside 0 … 2'),
        ({'gt_label': [-1]}, 'outside'),
        ({'gt_label': [0.5]}, 'outside'),
        ({'gt_label': [float('nan')]}, 'outside'),
        ({'img_id': 1}, r'a\.jpg has neither gt_score nor gt_label'),
    ],
)
def test_what_does_not_fit(sample: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target_row(sample, 3, 'a.jpg')


def test_difficult_labels() -> None:
    assert difficult_labels({'gt_score': [1, 1], 'gt_label_difficult': [0]}) == [0]
    assert difficult_labels({'gt_label': [0], 'gt_label_difficult': [0, 1]}) == [1]
    assert difficult_labels({'gt_label': [0]}) == []
