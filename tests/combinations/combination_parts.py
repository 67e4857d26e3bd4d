"""The choices that combine, as parts of a config that trains on four photographs of VOC 2007 at 64 pixels."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from tiny_run import REPO

from mlic_mm.apis.teacher_cache import cache_teacher
from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
from mlic_mm.datasets.voc import VOCMultiLabel
from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models.teachers.trained_classifier import build_classifier

AXES = dict(
    head=('linear', 'csra', 'deep_lift_attention', 'deep_lift_residual', 'wsddn', 'spatial_context'),
    loss=('bce', 'weighted_bce', 'asymmetric'),
    augmentation=('none', 'mixup_or', 'mixup_cutmix'),
    consistency=('none', 'flip', 'flip_scale_both', 'feature', 'label'),
    teacher=('none', 'wsddn', 'wsddn_cached', 'ensemble', 'classifier', 'detector'),
    backbone=('resnet', 'timm', 'tokens'),
    training=('plain', 'ema', 'amp', 'accumulation', 'two_processes', 'compile'),
)
Row = Mapping[str, str]
Choice = tuple[str, str]
REGIONS = ('wsddn', 'spatial_context')
MIXED = ('mixup_or', 'mixup_cutmix')

REFUSED: dict[frozenset[Choice], str] = {
    frozenset({('head', head), ('augmentation', mixed)}): 'batch augments mix images, but cannot mix the proposals'
    for head in REGIONS
    for mixed in MIXED
}
REFUSED |= {
    frozenset({('head', head), ('consistency', views)}): "level='attention' of the loss compares maps of the labels"
    for head in REGIONS
    for views in ('flip', 'flip_scale_both')
}
REFUSED |= {
    frozenset({('teacher', 'wsddn_cached'), ('augmentation', mixed)}): 'a cached teacher has not seen the images'
    for mixed in MIXED
}
"""Pairs that a model refuses when it is built, and what its message says."""


def pairs(row: Row) -> set[frozenset[Choice]]:
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def all_pairs() -> set[frozenset[Choice]]:
    found = set()
    for (a, of_a), (b, of_b) in itertools.combinations(AXES.items(), 2):
        found |= {frozenset({(a, x), (b, y)}) for x in of_a for y in of_b}
    return found


# Shape of the maps that each backbone gives: channels and stride of the last one, and channels of four stages.
CHANNELS = dict(resnet=32, timm=64, tokens=32)
STRIDES = dict(resnet=32, timm=32, tokens=16)
STAGES = dict(resnet=[4, 8, 16, 32], timm=[24, 32, 48, 64], tokens=[8, 16, 32, 64])
SIZE = 64
NUM_REGIONS = 6
FLIP = dict(type='mlic_mm.FlipView')
SCALE = dict(type='mlic_mm.ScaleView', size=48)
NMS = dict(type='nms', iou_threshold=0.7)
PREPROCESSOR = dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=20, mean=[120.0] * 3, std=[60.0] * 3)
LOSSES = dict(
    bce=dict(type='mlic_mm.MultiLabelBCELoss'),
    weighted_bce=dict(type='mlic_mm.WeightedBCELoss'),
    asymmetric=dict(type='AsymmetricLoss', gamma_pos=0.0, gamma_neg=4.0, clip=0.05),
)
RESNET = dict(type='ResNet', depth=18, stem_channels=4, base_channels=4)
MAPS = (0, 1, 2, 3)


@dataclass(frozen=True)
class World:
    """What the combinations need on disk: data, proposals, a label graph, and trained teachers."""

    folder: Path
    data_root: Path

    def dataset(self, pipeline: list[dict]) -> dict:
        root = str(self.data_root / 'VOCdevkit/VOC2007')
        return dict(
            type='mlic_mm.VOCMultiLabel', data_root=root, split='test', with_boxes=True, indices=4, pipeline=pipeline
        )

    def path(self, name: str) -> str:
        return str(self.folder / name)


def make_world(folder: Path, data_root: Path) -> World:
    world = World(folder, data_root)
    data = VOCMultiLabel(**{k: v for k, v in world.dataset([]).items() if k != 'type'})
    rng = np.random.default_rng(0)
    entries = []
    for info in (data.get_data_info(i) for i in range(len(data))):
        height, width = cv2.imread(info['img_path']).shape[:2]
        start = rng.uniform(0, 0.5, (NUM_REGIONS, 2))
        boxes = np.concatenate([start, start + rng.uniform(0.2, 0.5, (NUM_REGIONS, 2))], 1)
        scores = np.sort(rng.uniform(0.2, 1, NUM_REGIONS))[::-1]
        entries.append((info['img_id'], (height, width), boxes * [width, height, width, height], scores))
    write_proposal_file(folder / 'proposals.st', entries, dict(type='drawn'), dict(type='VOCMultiLabel'))
    targets = (rng.random((60, 20)) < 0.3).astype(int)
    graph = LabelGraphData.from_targets(targets, data.metainfo['classes'], threshold=0.3)
    vectors = rng.normal(size=(20, 6)).astype('float32')
    LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 60, 0.3, vectors).save(folder / 'graph.npz')
    load = [dict(type='mlic_mm.LoadImage')]
    resize = dict(type='Resize', scale=(SIZE, SIZE))
    proposals = dict(type='mlic_mm.LoadProposals', file=world.path('proposals.st'), num=NUM_REGIONS)
    for name, head, steps in (
        (
            'plain',
            dict(type='MultiLabelLinearClsHead', num_classes=20, in_channels=32),
            [resize, dict(type='PackInputs')],
        ),
        (
            'wsddn',
            dict(type='mlic_mm.WSDDNHead', num_classes=20, in_channels=32, stride=32, roi_size=2),
            [proposals, resize, dict(type='mlic_mm.PackProposals')],
        ),
    ):
        torch.manual_seed(0)
        neck = dict(type='GlobalAveragePooling') if name == 'plain' else None
        cfg = Config(
            dict(
                default_scope='mmpretrain',
                custom_imports=dict(imports=['mlic_mm'], allow_failed_imports=False),
                data_preprocessor=PREPROCESSOR,
                model=dict(type='ImageClassifier', backbone=RESNET, neck=neck, head=head),
                test_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    dataset=world.dataset([*load, *steps]),
                ),
            )
        )
        cfg.train_dataloader = cfg.test_dataloader
        (folder / f'{name}.py').write_text(cfg.pretty_text)
        model, _ = build_classifier(cfg, None)
        meta = dict(dataset_meta=dict(classes=data.metainfo['classes']))
        torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / f'{name}.pth')
    cache_teacher(
        world.path('wsddn.py'), world.path('wsddn.pth'), out=world.path('cache'), layers=[''], num_regions=4, workers=0
    )
    return world


def config_of(row: Row, world: World, work_dir: Path | str) -> Config:
    """Return the config of a combination: two epochs of two batches."""
    cfg = Config.fromfile(REPO / 'configs/_base_/default_runtime.py')
    alternate = dict(type='mlic_mm.AlternateBatchAugmentHook') if row['augmentation'] == 'mixup_or' else None
    hooks = dict(checkpoint=dict(save_best=None, max_keep_ckpts=-1), logger=dict(interval=1))
    if alternate:
        hooks['alternate'] = alternate
    custom = []
    if row['loss'] == 'weighted_bce':
        custom.append(dict(type='mlic_mm.PositiveRatioHook'))
    if row['training'] == 'ema':
        custom.append(dict(type='EMAHook', momentum=0.1))
    wrapper: dict[str, Any] = dict(optimizer=dict(type='SGD', lr=0.01), clip_grad=dict(max_norm=1.0))
    if row['training'] == 'amp':
        wrapper['type'] = 'mlic_mm.CPUAmpOptimWrapper'
    if row['training'] == 'accumulation':
        wrapper['accumulative_counts'] = 2

    def loader(train: bool) -> dict:
        return dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=train),
            dataset=world.dataset(pipeline_of(row, world, train)),
        )

    cfg.merge_from_dict(
        dict(
            model=model_of(row, world),
            data_preprocessor=PREPROCESSOR,
            train_dataloader=loader(True),
            test_dataloader=loader(False),
            test_evaluator=[dict(type='mlic_mm.MLICMetric')],
            test_cfg=dict(),
            optim_wrapper=wrapper,
            train_cfg=dict(by_epoch=True, max_epochs=2),
            default_hooks=hooks,
            custom_hooks=custom,
            randomness=dict(seed=0),
            work_dir=str(work_dir),
        )
    )
    if row['training'] == 'compile':
        # Proposals of an image are of any number: there the graph breaks.
        cfg.compile = dict(backend='aot_eager', fullgraph=has_whole_graph(row))
    return cfg


def has_whole_graph(row: Row) -> bool:
    return row['head'] not in REGIONS and row['teacher'] not in ('wsddn', 'wsddn_cached', 'detector')


def pipeline_of(row: Row, world: World, train: bool) -> list[dict]:
    objects = row['head'] == 'spatial_context'
    cached = train and row['teacher'] == 'wsddn_cached'
    # A spatial-context network proposes its own regions, to a teacher too.
    proposals = row['head'] == 'wsddn' or (train and row['teacher'] == 'wsddn')
    steps: list[dict] = [dict(type='mlic_mm.LoadImage')]
    if objects and train:
        steps.append(dict(type='LoadAnnotations'))
    if cached:
        teacher = dict(config=world.path('wsddn.py'), checkpoint=world.path('wsddn.pth'))
        steps.append(dict(type='mlic_mm.LoadTeacher', cache=world.path('cache'), **teacher))
    elif proposals and not objects:
        steps.append(dict(type='mlic_mm.LoadProposals', file=world.path('proposals.st'), num=NUM_REGIONS))
    steps.append(dict(type='Resize', scale=(SIZE, SIZE)))
    if train:
        steps.append(dict(type='RandomFlip', prob=0.5, direction='horizontal'))
    if cached or (proposals and not objects):
        pack = dict(type='mlic_mm.PackProposals', meta_keys=META)
    elif objects:
        pack = dict(type='mlic_mm.PackBoxes')
    else:
        pack = dict(type='PackInputs', meta_keys=META)
    return [*steps, pack]


META = ('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape')


def model_of(row: Row, world: World) -> dict:
    model = dict(type='mlic_mm.MultiLabelClassifier', **trunk_of(row), head=head_of(row, world))
    objectives = {}
    if row['head'] == 'spatial_context':
        objectives['rpn'] = rpn_of(row)
    if row['consistency'] != 'none':
        objectives['consistency'] = consistency_of(row)
    if row['teacher'] != 'none':
        objectives['teacher'] = teacher_of(row, world)
    if row['augmentation'] == 'mixup_or':
        model['train_cfg'] = dict(augments=dict(type='mlic_mm.MixupOR'))
    if row['augmentation'] == 'mixup_cutmix':
        model['train_cfg'] = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
    return model | dict(objectives=objectives)


def trunk_of(row: Row) -> dict:
    """Backbone and neck."""
    pooling = dict(type='GlobalAveragePooling')
    if row['head'] == 'spatial_context':
        swin = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
        backbone = dict(
            resnet=RESNET | dict(out_indices=MAPS),
            timm=dict(
                type='TIMMBackbone', model_name='test_efficientnet', features_only=True, out_indices=(1, 2, 3, 4)
            ),
            tokens=dict(
                type='SwinTransformer', arch=swin, img_size=SIZE, window_size=2, out_indices=MAPS, drop_path_rate=0.0
            ),
        )
        channels = STAGES[row['backbone']]
        fpn = dict(type='mmdet.FPN', in_channels=channels, out_channels=8, num_outs=4)
        return dict(backbone=backbone[row['backbone']], neck=fpn)
    vit = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32)
    backbone = dict(
        resnet=RESNET,
        timm=dict(type='TIMMBackbone', model_name='test_efficientnet', features_only=True, out_indices=(4,)),
        tokens=dict(
            type='VisionTransformer',
            arch=vit,
            img_size=SIZE,
            patch_size=16,
            out_type='raw',
            layer_cfgs=dict(drop_path_rate=0.0),
        ),
    )
    neck = [dict(type='mlic_mm.TokensToMap')] if row['backbone'] == 'tokens' else []
    neck += [pooling] if row['head'] == 'linear' else []
    return dict(backbone=backbone[row['backbone']], neck=neck or None)


def head_of(row: Row, world: World) -> dict:
    channels = CHANNELS[row['backbone']]
    head = row['head']
    common: dict[str, Any] = dict(num_classes=20, in_channels=channels, loss=LOSSES[row['loss']])
    if head.startswith('deep_lift'):
        graph = dict(graph=world.path('graph.npz'), hidden_channels=(5,), layer=head.removeprefix('deep_lift_'))
        return dict(type='mlic_mm.DeepLIFTHead', label_graph=graph, **common)
    if head == 'wsddn':
        return dict(type='mlic_mm.WSDDNHead', stride=STRIDES[row['backbone']], roi_size=2, **common)
    if head == 'spatial_context':
        return dict(
            type='mlic_mm.SpatialContextHead',
            fc_channels=16,
            roi_extractor=dict(roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1)),
            train_cfg=dict(sampler=dict(type='RandomSampler', num=16, pos_fraction=0.5, add_gt_as_proposals=True)),
            **common | dict(in_channels=8),
        )
    if head == 'csra':
        return dict(type='CSRAClsHead', num_heads=1, lam=0.1, **common)
    return dict(type='MultiLabelLinearClsHead', **common)


def rpn_of(row: Row) -> dict:
    assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5)
    sampler = dict(type='RandomSampler', num=16, pos_fraction=0.5, add_gt_as_proposals=False)
    return dict(
        type='mlic_mm.RegionProposals',
        rpn_head=dict(
            type='RPNHead',
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32]),
        ),
        train_cfg=dict(rpn=dict(assigner=assigner, sampler=sampler, allowed_border=-1, pos_weight=-1)),
        test_cfg=dict(rpn=dict(nms_pre=30, max_per_img=NUM_REGIONS, nms=NMS, min_bbox_size=0)),
    )


def consistency_of(row: Row) -> dict:
    both = dict(type='mlic_mm.ComposeView', views=[FLIP, SCALE])
    views = [FLIP, SCALE, both] if row['consistency'] == 'flip_scale_both' else [FLIP]
    level = row['consistency'] if row['consistency'] in ('feature', 'label') else 'attention'
    loss = dict(type='mlic_mm.AttentionConsistencyLoss', level=level, loss_weight=0.1)
    return dict(type='mlic_mm.AttentionConsistency', views=views, loss=loss)


def teacher_of(row: Row, world: World) -> dict:
    kind = row['teacher']
    member = dict(config=world.path('plain.py'), checkpoint=world.path('plain.pth'))
    layer = 'neck.0' if row['backbone'] == 'tokens' and row['head'] != 'spatial_context' else ''
    channels = (STAGES if row['head'] == 'spatial_context' else {row['backbone']: [CHANNELS[row['backbone']]]})[
        row['backbone']
    ][-1]
    maps = dict(student_layer=layer, teacher_layer='', student_channels=channels, teacher_channels=32)
    soft = dict(soft=dict(type='mlic_mm.HintonDistillLoss', loss_weight=0.1))
    if kind.startswith('wsddn'):
        teacher = dict(config=world.path('wsddn.py'), checkpoint=world.path('wsddn.pth'), num_regions=4)
        regions = NUM_REGIONS
        losses = dict(
            roi=dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=2, loss_weight=0.1, **maps),
            soft=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=20, num_proposals=regions),
        )
        return dict(type='mlic_mm.Distillation', losses=losses, teacher=None if kind == 'wsddn_cached' else teacher)
    if kind == 'ensemble':
        members = [member, dict(member, flip=True, weight=0.5)]
        teacher = dict(model=dict(type='mlic_mm.EnsembleClassifier', members=members))
        return dict(type='mlic_mm.Distillation', losses=soft, teacher=teacher)
    if kind == 'classifier':
        hint = dict(type='mlic_mm.FitNetsLoss', loss_weight=0.01, **maps)
        return dict(type='mlic_mm.Distillation', losses=dict(soft, hint=hint), teacher=member)
    return dict(type='mlic_mm.Distillation', losses=soft, teacher=dict(model=detector()))


def detector() -> dict:
    """A Faster R-CNN of mmdet with initial weights."""
    coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4)
    faster_rcnn = dict(
        type='FasterRCNN',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, pad_size_divisor=32),
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
        neck=dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4),
        rpn_head=dict(
            type='RPNHead',
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32]),
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=1),
                out_channels=8,
                featmap_strides=[4, 8, 16, 32],
            ),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=8,
                fc_out_channels=16,
                roi_feat_size=3,
                num_classes=20,
                bbox_coder=coder,
            ),
        ),
        train_cfg=None,
        test_cfg=dict(
            rpn=dict(nms_pre=30, max_per_img=20, nms=NMS, min_bbox_size=0),
            rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20),
        ),
    )
    return dict(type='mlic_mm.DetectorTeacher', detector=faster_rcnn)
