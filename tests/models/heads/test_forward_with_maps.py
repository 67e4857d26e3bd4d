"""The maps of every head that has some: what their averages have to be, and that the logits are the head's own."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.necks import GlobalAveragePooling
from torch import nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import DeepLIFTHead
from mlic_mm.models.heads import check_gives_maps, forward_with_maps
from mlic_mm.models.necks import VGGNeck

Feats = tuple[torch.Tensor, ...]


@pytest.fixture
def feats() -> Feats:
    """Two stages of a backbone; heads use the last."""
    torch.manual_seed(0)
    return torch.randn(2, 4, 6, 10), torch.randn(2, 8, 3, 5)


def linear() -> nn.Module:
    head = MODELS.build(dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=5, in_channels=8))
    nn.init.normal_(head.fc.weight)
    nn.init.normal_(head.fc.bias)
    return head


def csra(num_heads: int, lam: float = 0.3) -> nn.Module:
    return MODELS.build(dict(type='mmpretrain.CSRAClsHead', num_classes=5, in_channels=8, num_heads=num_heads, lam=lam))


def deep_lift() -> DeepLIFTHead:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 5)) < 0.3).astype(int)
    graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(5)], threshold=0.3)
    vectors = rng.normal(size=(5, 12)).astype('float32')
    graph = LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 200, 0.3, vectors)
    return DeepLIFTHead(5, 8, dict(graph=graph, hidden_channels=(6,)))


def test_average_of_a_class_activation_map_is_the_logit_less_the_bias(feats: Feats) -> None:
    head, neck = linear(), GlobalAveragePooling()
    logits, maps = forward_with_maps(head, neck, feats)
    assert maps.shape == (2, 5, 3, 5)
    torch.testing.assert_close(maps.mean((2, 3)) + head.fc.bias, logits)
    torch.testing.assert_close(logits, head(neck(feats)), rtol=0, atol=0)
    # Eq. 1, one place of one label.
    torch.testing.assert_close(maps[1, 2, 0, 4], (head.fc.weight[2] * feats[-1][1, :, 0, 4]).sum())


@pytest.mark.parametrize('num_heads', [1, 2, 4])
def test_average_of_csra_maps_is_the_sum_of_its_base_logits(feats: Feats, num_heads: int) -> None:
    head = csra(num_heads)
    logits, maps = forward_with_maps(head, None, feats)
    assert maps.shape == (2, 5, 3, 5)
    torch.testing.assert_close(logits, head(feats), rtol=0, atol=0)
    # The base logits are what is left of the head as its λ goes to nothing.
    for branch in head.csra_heads:
        branch.lam = 0.0
    torch.testing.assert_close(maps.mean((2, 3)), head(feats))


@pytest.mark.parametrize('training', [True, False])
def test_deep_lift_gives_its_attended_maps(feats: Feats, training: bool) -> None:
    head = deep_lift().train(training)
    logits, maps = forward_with_maps(head, None, feats)
    expected = head.maps(feats)
    torch.testing.assert_close(maps, expected.attended, rtol=0, atol=0)
    assert not torch.equal(maps, expected.lift)
    torch.testing.assert_close(logits, head(feats), rtol=0, atol=0)
    torch.testing.assert_close(logits, head.logits(maps), rtol=0, atol=0)


@pytest.mark.parametrize('kind', ['linear', 'csra', 'deep_lift'])
def test_gradients_flow_through_maps_to_features_and_weights(feats: Feats, kind: str) -> None:
    head = dict(linear=linear, csra=lambda: csra(2), deep_lift=deep_lift)[kind]()
    feature = feats[-1].requires_grad_()
    _, maps = forward_with_maps(head, GlobalAveragePooling() if kind == 'linear' else None, (feature,))
    maps[:, :, 0, 0].square().sum().backward()
    assert feature.grad is not None
    assert feature.grad[:, :, 0, 0].abs().min() > 0
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())


@pytest.mark.parametrize('kind', ['linear', 'csra', 'deep_lift'])
def test_mixed_precision(feats: Feats, kind: str) -> None:
    head = dict(linear=linear, csra=lambda: csra(4), deep_lift=deep_lift)[kind]().eval()
    neck = GlobalAveragePooling() if kind == 'linear' else None
    _, exact = forward_with_maps(head, neck, feats)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits, maps = forward_with_maps(head, neck, (feats[-1].bfloat16(),))
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(maps.float(), exact, rtol=0.05, atol=0.15)


def test_another_head_with_maps_of_its_own(feats: Feats) -> None:
    """Its method goes first, also where the head is a linear one."""

    class Scaled(type(linear())):  # type: ignore[misc]
        def forward_with_maps(self, feats: Feats) -> tuple[torch.Tensor, torch.Tensor]:
            return feats[-1].mean((2, 3))[:, :5], 2 * feats[-1][:, :5]

    head = Scaled(num_classes=5, in_channels=8)
    check_gives_maps(head, None)
    _, maps = forward_with_maps(head, None, feats)
    torch.testing.assert_close(maps, 2 * feats[-1][:, :5])


def test_heads_that_have_maps() -> None:
    check_gives_maps(linear(), GlobalAveragePooling())
    check_gives_maps(csra(1), None)
    check_gives_maps(deep_lift(), None)


@pytest.mark.parametrize(
    ('head', 'neck', 'message'),
    [
        (linear(), None, 'MultiLabelLinearClsHead after neck None has no map per label: use .*DeepLIFTHead'),
        (linear(), VGGNeck(8, 16), 'MultiLabelLinearClsHead after neck VGGNeck has no map'),
        (
            MODELS.build(dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=8)),
            GlobalAveragePooling(),
            'LinearClsHead after neck GlobalAveragePooling has no map',
        ),
    ],
)
def test_heads_that_have_none(head: nn.Module, neck: nn.Module | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_gives_maps(head, neck)
