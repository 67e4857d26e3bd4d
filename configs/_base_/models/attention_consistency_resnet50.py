# Guo et al. 2019, section 3: the image, its mirror image, and both at 6/7 of the size, four views.
flip = dict(type='mlic_mm.FlipView')
scale = dict(type='mlic_mm.ScaleView', size=192)
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
    # Eq. 2: the sum over labels, averaged over images. λ = 1 belongs to this reduction.
    head=dict(type='MultiLabelLinearClsHead', in_channels=2048, loss=dict(type='mlic_mm.WeightedBCELoss')),
    objectives=dict(
        consistency=dict(
            type='mlic_mm.AttentionConsistency',
            views=[flip, scale, dict(type='mlic_mm.ComposeView', views=[flip, scale])],
            loss=dict(type='mlic_mm.AttentionConsistencyLoss', loss_weight=1.0),
        ),
    ),
)
