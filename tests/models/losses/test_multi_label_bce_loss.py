import math

import pytest
import torch
from mmpretrain.registry import MODELS

from mlic_mm.models import MultiLabelBCELoss, multi_label_bce


def test_by_hand():
    # sigmoid(0) = 1/2 everywhere: each known label costs ln 2; one of four is ignored; two images.
    score = torch.zeros(2, 2)
    target = torch.tensor([[1, 0], [-1, 1]])
    assert multi_label_bce(score, target).item() == pytest.approx(3 * math.log(2) / 2)


def test_equals_mmpretrain_without_ignored_targets():
    score, target = torch.randn(5, 7), (torch.rand(5, 7) < 0.3).float()
    theirs = MODELS.build(dict(type='CrossEntropyLoss', use_sigmoid=True))
    torch.testing.assert_close(MultiLabelBCELoss()(score, target, avg_factor=5), theirs(score, target, avg_factor=5))


def test_ignored_targets_get_no_gradient_and_stay_as_they_are():
    score = torch.randn(3, 4, requires_grad=True)
    target = torch.tensor([[1, 0, -1, -1]] * 3).float()
    kept = target.clone()
    multi_label_bce(score, target).backward()
    assert torch.equal(target, kept)
    assert (score.grad[:, 2:] == 0).all()
    assert (score.grad[:, :2] != 0).all()


def test_all_ignored_is_zero_not_nan():
    assert multi_label_bce(torch.randn(2, 3), -torch.ones(2, 3)).item() == 0


def test_soft_labels_and_weights():
    score, target = torch.tensor([[2.0], [0.0]]), torch.tensor([[0.25], [1.0]])
    first = -0.25 * math.log(1 / (1 + math.exp(-2))) - 0.75 * math.log(1 / (1 + math.exp(2)))
    result = multi_label_bce(score, target, weight=torch.tensor([2.0, 0.0]), avg_factor=1)
    assert result.item() == pytest.approx(2 * first, rel=1e-5)


def test_different_label_counts_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 20\).*\(2, 80\)'):
        multi_label_bce(torch.zeros(2, 20), torch.zeros(2, 80))
