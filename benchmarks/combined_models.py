"""Models with objectives, and a batch for them, for the benchmarks. Weights are random, images are noise."""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from bench_label_graph import random_graph
from measure import DEVICE
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mlic_mm.registry import MODELS

LABELS = 20
BACKBONES = dict(
    resnet18=(dict(type='ResNet', depth=18), 512),
    resnet50=(dict(type='ResNet', depth=50), 2048),
    mobilenet_v2=(dict(type='MobileNetV2'), 1280),
)
HEADS = ('linear', 'csra', 'deep_lift_attention', 'deep_lift_residual')
OBJECTIVES = ('consistency', 'teacher', 'mixup')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`build` and :func:`batch` read."""
    parser.add_argument('--backbone', choices=BACKBONES, default='resnet18', help='of model and teacher')
    parser.add_argument('--size', type=int, default=128)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=15)


def build(head: str, objectives: tuple[str, ...], args: argparse.Namespace) -> Any:
    """Build a model.

    Args:
        head: One of :data:`HEADS`.
        objectives: Some of :data:`OBJECTIVES`: consistency under flip, a classifier of the same size as teacher, and
            mixup, which is a batch augment.
        args: Options.
    """
    MMLogger.get_current_instance().setLevel('WARNING')
    backbone, width = BACKBONES[args.backbone]
    pooling = dict(type='GlobalAveragePooling')
    linear = dict(type='MultiLabelLinearClsHead', num_classes=LABELS, in_channels=width)
    heads = dict(linear=linear, csra=linear | dict(type='CSRAClsHead', num_heads=1, lam=0.1))
    if head.startswith('deep_lift'):
        graph = dict(graph=random_graph(LABELS, 4, 300), layer=head.removeprefix('deep_lift_'))
        heads[head] = linear | dict(type='mlic_mm.DeepLIFTHead', label_graph=graph)
    flip = dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')])
    plain = dict(type='ImageClassifier', backbone=backbone, neck=pooling, head=linear)
    soft = dict(type='mlic_mm.HintonDistillLoss')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        # A config of a teacher must have a checkpoint; a built model need not.
        teacher = dict(type='mlic_mm.Distillation', losses=dict(soft=soft), teacher=dict(model=MODELS.build(plain)))
        parts = dict(consistency=flip, teacher=teacher)
        model = MODELS.build(
            dict(
                type='mlic_mm.MultiLabelClassifier',
                backbone=backbone,
                neck=pooling if head == 'linear' else None,
                head=heads[head],
                objectives={name: parts[name] for name in objectives if name in parts},
                train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')) if 'mixup' in objectives else None,
                data_preprocessor=dict(
                    type='mlic_mm.MultiLabelDataPreprocessor', num_classes=LABELS, mean=[127.0] * 3, std=[58.0] * 3
                ),
            )
        )
    return model.to(DEVICE, memory_format=torch.channels_last).train()


def batch(args: argparse.Namespace) -> dict[str, list]:
    """Return a batch as a data loader gives it."""
    images = torch.randint(256, (args.batch, 3, args.size, args.size), dtype=torch.uint8)
    labels = (torch.rand(args.batch, LABELS) < 0.2).float()
    return dict(inputs=list(images), data_samples=[DataSample().set_gt_score(row) for row in labels])


def training_step(model: Any, args: argparse.Namespace) -> Callable[[], dict]:
    """Return a step of training: data preprocessor, forward, backward, optimiser."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9))
    data = batch(args)
    return lambda: model.train_step(data, wrapper)
