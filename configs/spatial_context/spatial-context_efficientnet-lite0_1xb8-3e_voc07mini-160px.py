"""The network on the small VOC: what `tools/reproduce.py spatial_context/branches --data mini` varies.

Narrower than the large network, on Lite0's maps of stride 8, 16 and 32 and one pooled from the last, fewer patches.
Batch normalisation in the FPN makes it learn faster.
"""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/spatial_context_adamw_3e.py',
    '../_base_/default_runtime.py',
]

width = 96
nms = dict(type='nms', iou_threshold=0.7)
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    backbone=dict(features_only=True, out_indices=(1, 2, 3, 4)),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[24, 40, 112, 320],
        out_channels=width,
        start_level=1,
        num_outs=4,
        norm_cfg=dict(type='BN'),
    ),
    head=dict(
        type='mlic_mm.SpatialContextHead',
        num_classes=20,
        in_channels=width,
        fc_channels=256,
        roi_extractor=dict(
            roi_layer=dict(type='RoIAlign', output_size=5, sampling_ratio=1),
            featmap_strides=[8, 16, 32],
            finest_scale=24,
        ),
        context=dict(type='mlic_mm.ContextExpand', ratio=1.5),
        branches=('object', 'context'),
        train_cfg=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, ignore_iof_thr=0.5)
            | dict(match_low_quality=False),
            sampler=dict(type='RandomSampler', num=48, pos_fraction=0.5, add_gt_as_proposals=True),
        ),
        test_cfg=dict(score_thr=0.01),
    ),
    objectives=dict(
        rpn=dict(
            type='mlic_mm.RegionProposals',
            rpn_head=dict(
                type='RPNHead',
                in_channels=width,
                feat_channels=width,
                anchor_generator=dict(
                    type='AnchorGenerator', scales=[3, 5], ratios=[0.5, 1.0, 2.0], strides=[8, 16, 32, 64]
                ),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
                loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
            ),
            train_cfg=dict(
                rpn=dict(
                    assigner=dict(
                        type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, ignore_iof_thr=0.5
                    ),
                    sampler=dict(type='RandomSampler', num=128, pos_fraction=0.5, add_gt_as_proposals=False),
                    allowed_border=-1,
                    pos_weight=-1,
                ),
                rpn_proposal=dict(nms_pre=300, max_per_img=100, nms=nms, min_bbox_size=0),
            ),
            test_cfg=dict(
                rpn=dict(nms_pre=300, max_per_img=100, nms=nms, min_bbox_size=0),
            ),
        ),
    ),
)

load = dict(type='mlic_mm.LoadImage', cache_mb=1000)
pack = dict(type='mlic_mm.PackBoxes')
resize = dict(type='Resize', scale=(160, 160))
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
train_dataloader = dict(
    batch_size=8,
    drop_last=True,
    dataset=dict(with_boxes=True, pipeline=[load, dict(type='LoadAnnotations'), resize, flip, pack]),
)
val_dataloader = dict(batch_size=10, dataset=dict(with_boxes=True, pipeline=[load, resize, pack]))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mlic_mm.MLICMetric', preset='mlgcn'), dict(type='mmdet.VOCMetric', eval_mode='area')]
test_evaluator = val_evaluator
