"""A spatial-context-aware network that runs in milliseconds, and data loaders for it: ours and those of mmdet."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import ConfigDict

NEEDS_MMDET = pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
STRIDES = [4, 8, 16, 32]
PREPROCESSOR = dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True)


def model_config(num_classes: int, width: int = 8, **head: Any) -> ConfigDict:
    """Return a model of ``width`` channels in the first stage; ``head`` replaces options of the head."""
    roi_layer = dict(type='RoIAlign', output_size=4, sampling_ratio=1)
    proposals = dict(nms_pre=200, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    return ConfigDict(
        type='mlic_mm.MultiLabelClassifier',
        data_preprocessor=dict(PREPROCESSOR, num_classes=num_classes),
        backbone=dict(
            type='ResNet',
            depth=18,
            stem_channels=width,
            base_channels=width,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type='GN', num_groups=4),
        ),
        neck=dict(type='mmdet.FPN', in_channels=[width * 2**i for i in range(4)], out_channels=2 * width, num_outs=4),
        head=dict(
            dict(
                type='mlic_mm.SpatialContextHead',
                in_channels=2 * width,
                fc_channels=64,
                roi_extractor=dict(roi_layer=roi_layer),
            ),
            num_classes=num_classes,
            train_cfg=dict(
                sampler=dict(type='RandomSampler', num=32, pos_fraction=0.5, add_gt_as_proposals=True),
            ),
            test_cfg=dict(score_thr=0.01),
        )
        | head,
        objectives=dict(
            rpn=dict(
                type='mlic_mm.RegionProposals',
                rpn_head=dict(
                    type='RPNHead',
                    in_channels=2 * width,
                    feat_channels=2 * width,
                    anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0, 2.0], strides=STRIDES),
                    bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
                    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
                    loss_bbox=dict(type='L1Loss', loss_weight=1.0),
                ),
                train_cfg=dict(
                    rpn=dict(
                        assigner=dict(
                            type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5
                        ),
                        sampler=dict(
                            type='RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False
                        ),
                        allowed_border=-1,
                        pos_weight=-1,
                    ),
                    rpn_proposal=proposals,
                ),
                test_cfg=dict(rpn=proposals),
            ),
        ),
    )


def voc(data_root: Path, ours: bool) -> dict:
    """The test images of our split of VOC 2007, by our data set or mmdet's."""
    if ours:
        root = str(data_root / 'VOCdevkit/VOC2007')
        return dict(type='mlic_mm.VOCMultiLabel', data_root=root, split='test', with_boxes=True)
    return dict(
        type='mmdet.VOCDataset',
        data_root=str(data_root / 'VOCdevkit'),
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
    )


def coco(data_root: Path, ours: bool) -> dict:
    """The training images of the miniature COCO, by our data set or mmdet's."""
    common = dict(ann_file='annotations/instances_train2017.json', data_root=str(data_root / 'coco_mini'))
    if ours:
        return common | dict(type='mlic_mm.COCOMultiLabel', data_prefix='train2017', with_boxes=True)
    return common | dict(type='mmdet.CocoDataset', data_prefix=dict(img='train2017/'))


def loader(dataset: dict, steps: list[dict], batch_size: int = 4, **pack: Any) -> dict:
    """Return a data loader that ends with ``mlic_mm.PackBoxes``."""
    pipeline = [dict(type='mlic_mm.LoadImage'), *steps, dict(type='mlic_mm.PackBoxes', **pack)]
    return dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dataset | dict(pipeline=pipeline),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
