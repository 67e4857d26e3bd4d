"""Training one objective gives the losses and logits that the class of its method gave before there were objectives.

``loss_curves.json`` has the losses of six steps, and the logits after them, of the three classes
``AttentionConsistencyClassifier``, ``DistillClassifier`` and ``SpatialContextClassifier`` of the commit that it names.
"""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from tiny_spatial_context import NEEDS_MMDET, model_config
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import SpatialContextHead
from mlic_mm.registry import MODELS

STORED = json.loads(Path(__file__).with_name('loss_curves.json').read_text())
LABELS = ([1, 0, 1], [0, 1, -1], [0, 0, 1], [1, 1, 0])
LINEAR = dict(
    type='MultiLabelLinearClsHead', num_classes=3, in_channels=64, loss=dict(type='mlic_mm.MultiLabelBCELoss')
)
SMALL = dict(
    data_preprocessor=dict(num_classes=3, mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=LINEAR,
)
FLIP = dict(type='mlic_mm.FlipView')
SCALE = dict(type='mlic_mm.ScaleView', size=48)
FOUR_VIEWS = [FLIP, SCALE, dict(type='mlic_mm.ComposeView', views=[FLIP, SCALE])]
HINTON = dict(soft=dict(type='mlic_mm.HintonDistillLoss', student_temperature=2.0, loss_weight=0.1))
REGIONS = dict(
    roi=dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=2, loss_weight=0.05),
    hint=dict(
        type='mlic_mm.FitNetsLoss',
        student_layer='backbone.layer3',
        teacher_layer='backbone.layer2',
        student_channels=32,
        teacher_channels=16,
        loss_weight=0.01,
    ),
    prediction=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=3, num_proposals=5),
)


def build(config: dict) -> Any:
    """Build a model in double precision, so that rounding on other machines does not grow from step to step."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config).double()
    if isinstance(model.head, SpatialContextHead):
        model.head.float()  # it pools its patches in single precision
    return model


def fill(model: nn.Module, prefix: str = '') -> nn.Module:
    """Give each parameter numbers that depend on its name alone. Temperatures keep 1."""
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f'{prefix}{name}'.encode()))
        numbers = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            if name.endswith('theta'):
                parameter.zero_()
            elif parameter.dim() > 1:
                parameter.copy_(numbers * parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(0.1 * numbers + name.endswith('weight'))
    return model


def consistency(level: str | None = 'attention', weight: float = 1.0, views: list | None = None) -> dict:
    """Return a model whose maps must move with the image; without a level, the views are augmentation."""
    loss: Any = level and dict(type='mlic_mm.AttentionConsistencyLoss', level=level, loss_weight=weight)
    objective = dict(type='mlic_mm.AttentionConsistency', views=views or [FLIP], loss=loss or False)
    return SMALL | dict(type='mlic_mm.MultiLabelClassifier', objectives=dict(consistency=objective))


def deep_lift() -> dict:
    graph = LabelGraphData.from_targets([[1, 1, 0], [0, 1, 1]], ['a', 'b', 'c'], threshold=0.5)
    labels = dict(graph=graph, embeddings=torch.eye(3), hidden_channels=(4,))
    head = dict(type='mlic_mm.DeepLIFTHead', num_classes=3, in_channels=64, label_graph=labels)
    return consistency() | dict(neck=None, head=head)


def student(losses: dict, **options: Any) -> dict:
    """Return a student with a teacher of images, or of regions."""
    looks_at_regions = losses is REGIONS
    region_head = dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=64, stride=32, roi_size=2)
    config = SMALL | (dict(neck=None, head=region_head) if looks_at_regions else {})
    built = fill(build(dict(config, type='ImageClassifier')), 'teacher.')
    teacher = dict(model=built, num_regions=3) if looks_at_regions else dict(model=built)
    objective = dict(type='mlic_mm.Distillation', teacher=teacher, losses=losses, **options)
    return SMALL | dict(type='mlic_mm.MultiLabelClassifier', objectives=dict(teacher=objective))


CASES: dict[str, Callable[[], dict]] = {
    'consistency of attention, flip, scale and both': lambda: consistency(weight=0.3, views=FOUR_VIEWS),
    'consistency of features, flip': lambda: consistency('feature'),
    'consistency of labels, flip': lambda: consistency('label'),
    'views without consistency': lambda: consistency(None, views=FOUR_VIEWS),
    'consistency of attention, Deep-LIFT, flip': deep_lift,
    'Hinton': lambda: student(HINTON),
    'regions': lambda: student(REGIONS),
    'regions, stage 1': lambda: student(REGIONS, stage=1),
    'regions, stage 2': lambda: student(REGIONS, stage=2),
    'Hinton, smaller student': lambda: student(HINTON, student_size=48),
    'regions, smaller student': lambda: student(REGIONS, student_size=48),
    'regions, stage 1, smaller student': lambda: student(REGIONS, stage=1, student_size=48),
    'regions, stage 2, smaller student': lambda: student(REGIONS, stage=2, student_size=48),
    'spatial context': lambda: model_config(3),
}


def batch() -> tuple[Tensor, list[DataSample]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator, dtype=torch.float64)
    samples = []
    for labels in LABELS:
        corners = torch.rand(5, 2, 2, generator=generator).sort(1).values * 60
        boxes = corners.flatten(1) + torch.tensor([0, 0, 4.0, 4.0])
        sample = DataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0)))
        sample.set_gt_score(torch.tensor(labels).float())
        sample.set_field(boxes, 'proposals')
        sample.set_field(torch.rand(5, generator=generator), 'proposal_scores')
        sample.set_field(InstanceData(bboxes=boxes[:2], labels=torch.tensor([0, 2])), 'gt_instances')
        samples.append(sample)
    return images, samples


def total(value: Any) -> Tensor:
    return sum(value) if isinstance(value, list) else value


@pytest.mark.parametrize('case', [pytest.param(name, marks=NEEDS_MMDET if 'spatial' in name else ()) for name in CASES])
def test_losses_and_logits_are_as_before(case: str) -> None:
    stored = STORED['curves'][case]
    model: Any = fill(build(CASES[case]()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    model.train()
    torch.manual_seed(0)
    found: dict[str, list[float]] = {}
    for _ in range(6):
        losses = {name: total(value) for name, value in model.loss(*batch()).items()}
        for name, value in losses.items():
            found.setdefault(name, []).append(value.item())
        optimizer.zero_grad()
        torch.stack([value.double() for value in losses.values()]).sum().backward()
        optimizer.step()
    assert set(found) == set(stored['losses'])
    for name, values in stored['losses'].items():
        assert found[name] == pytest.approx(values, rel=STORED['rtol']), name
    with torch.no_grad():
        logits = model.eval()(batch()[0])
    torch.testing.assert_close(
        logits.double(), torch.tensor(stored['logits'], dtype=torch.float64), rtol=STORED['rtol'], atol=1e-5
    )
