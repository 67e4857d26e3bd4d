"""``torch.compile`` of the training step and of the forward pass, in one graph, for every head without regions."""

from typing import Any

import numpy as np
import pytest
import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import MultiLabelClassifier

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings('ignore')]


class Backbone(nn.Module):
    """A map of 8 channels and stride 8, without batch statistics, so that two passes are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.stage = nn.Conv2d(8, 8, 2, stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.stage(self.stem(images).relu()).relu(),)


def graph(layer: str) -> dict:
    targets = (np.random.default_rng(0).random((40, 3)) < 0.4).astype(int)
    data = LabelGraphData.from_targets(targets, ['cat', 'dog', 'bird'], threshold=0.2)
    return dict(graph=data, embeddings=torch.eye(3), hidden_channels=(4,), layer=layer)


LINEAR = dict(
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.MultiLabelLinearClsHead',
        num_classes=3,
        in_channels=8,
        loss=dict(type='mlic_mm.WeightedBCELoss', positive_ratio=[0.2, 0.3, 0.4]),
    ),
)
HEADS: dict[str, dict] = {
    'linear': LINEAR,
    'csra': dict(
        head=dict(
            type='mmpretrain.CSRAClsHead',
            num_classes=3,
            in_channels=8,
            num_heads=2,
            lam=0.1,
            loss=dict(type='mmpretrain.AsymmetricLoss'),
        )
    ),
} | {
    f'deep_lift_{layer}': dict(
        head=dict(type='mlic_mm.DeepLIFTHead', num_classes=3, in_channels=8, label_graph=graph(layer))
    )
    for layer in ('gcn', 'weighted', 'attention', 'residual')
}


def build(head: str) -> MultiLabelClassifier:
    torch.manual_seed(0)
    flip, scale = dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.ScaleView', size=24)
    losses = dict(
        soft=dict(type='mlic_mm.HintonDistillLoss'),
        hint=dict(type='mlic_mm.FitNetsLoss', student_layer='backbone.stem'),
    )
    teacher = dict(model=ImageClassifier(backbone=Backbone(), **LINEAR))
    model = MultiLabelClassifier(
        backbone=Backbone(),
        **HEADS[head],
        objectives=dict(
            consistency=dict(type='mlic_mm.AttentionConsistency', views=[flip, scale]),
            teacher=dict(type='mlic_mm.Distillation', teacher=teacher, losses=losses),
        ),
    )
    model.init_weights()
    return model.train()


def batch(number: int) -> tuple[Tensor, list[DataSample]]:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(number))
    labels = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
    return images, [DataSample(metainfo=dict(img_path=f'{number}.jpg')).set_gt_score(row) for row in labels]


def step(model: MultiLabelClassifier, loss: Any, number: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the losses and the gradients."""
    model.zero_grad()
    losses = loss(*batch(number))
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return {name: value.detach() for name, value in losses.items()}, gradients


def compare(head: str, backend: str) -> None:
    model = build(head)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model.loss, fullgraph=True, backend=backend)
    for number in range(3):  # other images of other names
        want, got = step(model, model.loss, number), step(model, compiled, number)
        assert set(want[0]) == {'loss', 'loss_consistency', 'loss_teacher_soft', 'loss_teacher_hint'}
        torch.testing.assert_close(got, want)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1, 'compiled again for another batch'

    model.eval()
    torch._dynamo.reset()
    forward = torch.compile(model, fullgraph=True, backend=backend)
    with torch.no_grad():
        torch.testing.assert_close(forward(batch(0)[0]), model(batch(0)[0]))


@pytest.mark.parametrize('head', HEADS)
def test_one_graph_for_all_objectives(head: str) -> None:
    compare(head, 'aot_eager')


@pytest.mark.process
def test_code_of_the_compiler() -> None:
    compare('deep_lift_attention', 'inductor')
