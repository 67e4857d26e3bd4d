"""Parts of small models whose objectives combine, and a batch for them."""

import copy
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models import Objective
from mlic_mm.models.objectives import Step
from mlic_mm.registry import MODELS

BACKBONE = dict(type='ResNet', depth=18, stem_channels=4, base_channels=4)  # 32 channels at stride 32
POOLING = dict(type='GlobalAveragePooling')
BCE = dict(type='mlic_mm.MultiLabelBCELoss')
LINEAR = dict(type='MultiLabelLinearClsHead', num_classes=3, in_channels=32, loss=BCE)
WSDDN = dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=32, stride=32, roi_size=2)
NORMALISED = dict(num_classes=3, mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], to_rgb=True)
FLIP = dict(type='mlic_mm.FlipView')
SCALE = dict(type='mlic_mm.ScaleView', size=32)
BOTH = dict(type='mlic_mm.ComposeView', views=[FLIP, SCALE])
HINTON = dict(type='mlic_mm.HintonDistillLoss')
HINT = dict(type='mlic_mm.FitNetsLoss', student_layer='backbone.layer3')
ATTENTION = dict(type='mlic_mm.AttentionTransferLoss', student_layer='backbone.layer3')
ROTATE = dict(type='mlic_mm.Rotate90View')
SIDE = 64
"""Side of the images: maps of 2 × 2 cells."""


def build(objectives: dict | None = None, seed: int = 0, **parts: Any) -> Any:
    """Build a model in evaluation mode, whose batch normalisations change what they get."""
    config = dict(type='mlic_mm.MultiLabelClassifier', backbone=BACKBONE, neck=POOLING, head=LINEAR) | parts
    if objectives is not None:
        config['objectives'] = objectives
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(copy.copy(config) | dict(data_preprocessor=dict(NORMALISED)))
    model.init_weights()
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    if hasattr(getattr(model, 'head', None), 'fc'):
        nn.init.normal_(model.head.fc.weight, std=0.3, generator=generator)
    return model.eval()


def plain(**parts: Any) -> Any:
    """mmpretrain's classifier with the same weights."""
    return build(type='ImageClassifier', **parts)


def consistency(*views: dict, level: str = 'attention', **options: Any) -> dict:
    loss = dict(type='mlic_mm.AttentionConsistencyLoss', level=level)
    return dict(dict(type='mlic_mm.AttentionConsistency', views=list(views), loss=loss), **options)


def distillation(teacher: Any = None, losses: dict | None = None, **options: Any) -> dict:
    """By default with a plain classifier of other weights as teacher."""
    teacher = dict(model=plain(seed=7) if teacher is None else teacher)
    losses = dict(soft=HINTON) if losses is None else losses
    return dict(type='mlic_mm.Distillation', teacher=teacher, losses=losses, **options)


def batch(count: int = 2, side: int = SIDE, proposals: bool = False) -> tuple[Tensor, list[DataSample]]:
    """Images with labels and, possibly, proposals."""
    generator = torch.Generator().manual_seed(1)
    samples = []
    for i in range(count):
        sample = DataSample(metainfo=dict(img_shape=(side, side))).set_gt_score(torch.tensor([1.0, i % 2, 0.0]))
        if proposals:
            corners = torch.rand(4, 2, 2, generator=generator).sort(1).values * (side - 8)
            sample.set_field(corners.flatten(1) + torch.tensor([0, 0, 8.0, 8.0]), 'proposals')
            sample.set_field(torch.rand(4, generator=generator), 'proposal_scores')
        samples.append(sample)
    return torch.randn(count, 3, side, side, generator=generator), samples


def calls(module: nn.Module) -> list[tuple[int, ...]]:
    """Return a list that gets the shape of what the module is called with, the last map of several."""
    seen: list[tuple[int, ...]] = []

    def note(_: nn.Module, args: Any) -> None:
        given = args[0][-1] if isinstance(args[0], tuple | list) else args[0]
        seen.append(tuple(given.shape))

    module.register_forward_pre_hook(note)
    return seen


class Spy(Objective):
    """Keeps what it is shown."""

    def __init__(self, **needs: Any) -> None:
        super().__init__()
        self.seen: list[Step] = []
        for name, value in needs.items():
            setattr(self, name, value)

    def compute_losses(self, step: Step) -> dict[str, Tensor]:
        self.seen.append(step)
        return {}


def everything() -> dict:
    """Two kinds of consistency, and a teacher of features and predictions."""
    return dict(
        maps=consistency(FLIP, SCALE, BOTH),
        labels=consistency(BOTH, ROTATE, level='label'),
        teacher=distillation(losses=dict(soft=HINTON, hint=HINT, attention=ATTENTION)),
    )
