# Zhang et al. 2021, section 2: ResNeXt-101, FPN, one set of proposals, labels of objects and of what surrounds them.
# The paper does not say which ResNeXt-101. What it does not say either has the values of mmdet's Faster R-CNN.
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        width_per_group=4,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_eval=True,  # of two images, batch normalisation has no statistics worth keeping
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/resnext/resnext101_32x4d_b32x8_imagenet_20210506-e0fa3dd5.pth',
            prefix='backbone.',
        ),
    ),
    # Four levels, as in the paper. mmdet's fifth has cells of 64 pixels and anchors of 512, larger than the image.
    neck=dict(type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4),
    # Without num_classes, which belongs to the data set.
    head=dict(
        type='mlic_mm.SpatialContextHead',
        in_channels=256,
        fc_channels=1024,
        context=dict(type='mlic_mm.ContextExpand', ratio=1.5),
        branches=('object', 'context'),
        fusion='mean',
        target='patch',
        alpha=1.0,
        beta=1.0,
        gamma=1.0,
        sigma=0.5,
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1,
        ),
        test_cfg=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    ),
    objectives=dict(
        rpn=dict(
            type='mlic_mm.RegionProposals',
            rpn_head=dict(
                type='RPNHead',
                in_channels=256,
                feat_channels=256,
                anchor_generator=dict(
                    type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32]
                ),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
                loss_bbox=dict(type='L1Loss', loss_weight=1.0),
            ),
            train_cfg=dict(
                rpn=dict(
                    assigner=dict(
                        type='MaxIoUAssigner',
                        pos_iou_thr=0.7,
                        neg_iou_thr=0.3,
                        min_pos_iou=0.3,
                        match_low_quality=True,
                        ignore_iof_thr=-1,
                    ),
                    sampler=dict(
                        type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False
                    ),
                    allowed_border=-1,
                    pos_weight=-1,
                ),
                rpn_proposal=dict(
                    nms_pre=2000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
                ),
            ),
            test_cfg=dict(
                rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
            ),
        ),
    ),
)
