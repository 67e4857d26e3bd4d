"""Ignored labels are left out of losses of mmpretrain: the value and the gradient of a loop over the known ones."""

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.heads import CSRAClsHead, LinearClsHead, MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models import DeepLIFTHead, WSDDNHead
from mlic_mm.models.losses import leave_out_unknown

TARGET = torch.tensor([[1.0, 0, -1, 1, 0], [-1, -1, 1, 0, 0.25], [-1, -1, -1, -1, -1]])
SCORE = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def bce(p: Tensor, y: float) -> Tensor:
    return -y * p.log() - (1 - y) * (1 - p).log()


def asymmetric(p: Tensor, y: float) -> Tensor:  # γ+ = 1, γ− = 2, margin 0.05, as mmpretrain blends soft labels
    right = p * y + (1 - p + 0.05).clamp(max=1) * (1 - y)
    return -right.log() * (1 - right) ** (y + 2 * (1 - y))


def focal(p: Tensor, y: float) -> Tensor:  # γ = 2, α = 0.25
    return bce(p, y) * (0.25 * y + 0.75 * (1 - y)) * ((1 - p) * y + p * (1 - y)) ** 2


def smoothed(p: Tensor, y: float) -> Tensor:  # ε = 0.1
    return bce(p, 0.9 if y > 0 else 0.1)


def weighted(p: Tensor, y: float) -> Tensor:  # positives count threefold
    return -3 * y * p.log() - (1 - y) * (1 - p).log()


LOSSES = [
    (dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=2.0), lambda p, y: 2 * bce(p, y)),
    (dict(type='CrossEntropyLoss', use_sigmoid=True, pos_weight=[3.0] * 5), weighted),
    (dict(type='AsymmetricLoss', gamma_pos=1.0, gamma_neg=2.0), asymmetric),
    (dict(type='AsymmetricLoss', gamma_pos=1.0, gamma_neg=2.0, use_sigmoid=False), asymmetric),
    (dict(type='FocalLoss'), focal),
    (dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=5, mode='multi_label'), smoothed),
    (dict(type='mlic_mm.MultiLabelBCELoss'), bce),
]


def probabilities(row: Tensor, known: list[int], softmax: bool) -> Tensor:
    return row[known].softmax(0) if softmax else row[known].sigmoid()


def by_loop(score: Tensor, one: Callable[[Tensor, float], Tensor], softmax: bool = False) -> Tensor:
    """Sum over the known labels of every image, mean over images."""
    total = score.new_zeros(())
    for row, target in zip(score, TARGET.tolist(), strict=True):
        known = [label for label, y in enumerate(target) if y >= 0]
        for label, p in zip(known, probabilities(row, known, softmax), strict=True):
            total = total + one(p, target[label])
    return total / len(score)


def head_of(loss: dict | nn.Module, kind: type = MultiLabelClsHead, **options) -> MultiLabelClsHead:
    head = kind(loss=loss if isinstance(loss, nn.Module) else {'_scope_': 'mmpretrain', **loss}, **options)
    leave_out_unknown(head)
    return head


def samples(target: Tensor = TARGET) -> list[DataSample]:
    return [DataSample().set_gt_score(row.clone()) for row in target]


@pytest.mark.parametrize(('loss', 'one'), LOSSES)
def test_value_and_gradient_are_those_of_the_known_labels(loss, one):
    score, expected = (SCORE.clone().requires_grad_() for _ in range(2))
    head_of(loss).loss((score,), samples())['loss'].backward()
    reference = by_loop(expected, one, softmax=not loss.get('use_sigmoid', True))
    reference.backward()
    assert (score.grad[TARGET < 0] == 0).all()
    torch.testing.assert_close(score.grad, expected.grad, rtol=1e-6, atol=1e-9)
    found = head_of(loss).loss((score,), samples())['loss']
    torch.testing.assert_close(found.double(), reference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(('loss', 'one'), LOSSES)
def test_without_ignored_labels_nothing_changes(loss, one):
    target = TARGET.clamp(min=0)
    before = MultiLabelClsHead(loss={'_scope_': 'mmpretrain', **loss}).loss((SCORE,), samples(target))
    torch.testing.assert_close(head_of(loss).loss((SCORE,), samples(target)), before)


def test_the_fault_by_hand():
    """Logits 0 for targets 1, 0, −1: gradients −½, ½ and 0 where mmpretrain alone gives 1½."""
    for leave_out, last in ((False, 1.5), (True, 0.0)):
        score = torch.zeros(1, 3, requires_grad=True)
        head = MultiLabelClsHead(loss=dict(type='mmpretrain.CrossEntropyLoss', use_sigmoid=True))
        if leave_out:
            assert leave_out_unknown(head) == ['CrossEntropyLoss']
            assert leave_out_unknown(head) == []  # once
        loss = head.loss((score,), samples(torch.tensor([[1.0, 0, -1]])))['loss']
        loss.backward()
        assert score.grad.tolist() == [[-0.5, 0.5, last]]
    assert loss.item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize('kind', [CSRAClsHead, DeepLIFTHead, WSDDNHead])
def test_labels_that_are_all_ignored_train_nothing(kind):
    """Heads of ours do so without being asked."""
    options: dict = dict(num_classes=5, in_channels=8, loss=dict(type='mmpretrain.AsymmetricLoss'))
    if kind is CSRAClsHead:
        head = head_of(options.pop('loss'), kind, num_heads=1, lam=0.1, **options)
    elif kind is WSDDNHead:
        head = kind(stride=8, **options)
    else:
        graph = nn.Module()
        graph.forward = lambda: torch.ones(5, 8)  # type: ignore[method-assign]
        head = kind(label_graph=graph, projection=False, **options)
    feats = (torch.randn(2, 8, 4, 4, requires_grad=True),)
    ignored = samples(-torch.ones(2, 5))
    for sample in ignored:
        sample.set_field(torch.tensor([[0.0, 0, 16, 16], [8, 8, 32, 32]]), 'proposals')
        sample.set_field(torch.ones(2), 'proposal_scores')
    loss = head.loss(feats, ignored)['loss']
    loss.backward()
    assert loss == 0
    assert not feats[0].grad.any()


@pytest.mark.parametrize('reduction', ['none', 'mean'])
def test_reductions_and_weights_of_images_are_those_of_the_loss(reduction):
    loss = MODELS.build(dict(type='mmpretrain.FocalLoss', reduction=reduction))
    kept = loss(SCORE, TARGET.clamp(min=0), weight=torch.tensor([1.0, 2, 0]), reduction_override='none')
    kept = kept.masked_fill(TARGET < 0, 0)
    head_of(loss)
    found = loss(SCORE, TARGET, weight=torch.tensor([1.0, 2, 0]))
    torch.testing.assert_close(found, kept if reduction == 'none' else kept.mean())
    torch.testing.assert_close(
        loss(SCORE, TARGET, reduction_override='sum'),
        loss(SCORE, TARGET).sum() * (1 if reduction == 'none' else TARGET.numel()),
    )
    with pytest.raises(ValueError, match='avg_factor'):
        loss(SCORE, TARGET, avg_factor=3, reduction_override='sum')


class Scalar(nn.Module):
    """A loss of a user: one number for the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('scale', torch.ones(()))

    def forward(self, cls_score: Tensor, target: Tensor, avg_factor: int | None = None) -> Tensor:
        return self.scale * (cls_score - target).square().mean()


@pytest.mark.parametrize('loss', [Scalar(), dict(type='CrossEntropyLoss', use_soft=True)])
def test_a_loss_that_cannot_leave_labels_out_stops_where_it_would_have_to(loss):
    head = head_of(loss)
    assert head.loss((SCORE,), samples(TARGET.clamp(min=0)))['loss'] > 0
    with pytest.raises(
        ValueError, match=r'^\w+ gives no value for each label .*MultiLabelBCELoss.*takes_unknown = True'
    ):
        head.loss((SCORE,), samples())


def test_a_loss_that_deals_with_them_itself_sees_them():
    loss = Scalar()
    loss.takes_unknown = True
    assert head_of(loss).loss((SCORE,), samples())['loss'] == (SCORE - TARGET).square().mean()


def test_copies_checkpoints_and_class_indices_are_as_before():
    head = head_of(Scalar())
    assert list(head.state_dict()) == ['loss_module.scale']
    for other in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        other.loss_module.scale.fill_(3)
        same = samples(TARGET.clamp(min=0))
        assert other.loss((SCORE,), same)['loss'] == 3 * head.loss((SCORE,), same)['loss']
    plain = LinearClsHead(num_classes=5, in_channels=4)
    feats, labels = (torch.randn(3, 4),), [DataSample().set_gt_label(i) for i in range(3)]
    before = plain.loss(feats, labels)['loss']
    leave_out_unknown(plain)
    assert plain.loss(feats, labels)['loss'] == before


def test_training_compiles_to_one_graph():
    head = head_of(dict(type='mmpretrain.AsymmetricLoss'))
    loss = torch.compile(head.loss_module, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(loss(SCORE, TARGET, avg_factor=3), head.loss_module(SCORE, TARGET, avg_factor=3))
