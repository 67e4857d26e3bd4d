# Attention consistency under flip and scaling, on weights from
# `python tools/convert_efficientnet_lite.py --out data/pretrained/tf_efficientnet_lite0.pth`.
flip = dict(type='mlic_mm.FlipView')
scale = dict(type='mlic_mm.ScaleView', size=96)
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/tf_efficientnet_lite0.pth'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', in_channels=1280, loss=dict(type='mlic_mm.WeightedBCELoss')),
    objectives=dict(
        consistency=dict(
            type='mlic_mm.AttentionConsistency',
            views=[flip, scale, dict(type='mlic_mm.ComposeView', views=[flip, scale])],
            loss=dict(type='mlic_mm.AttentionConsistencyLoss', loss_weight=1.0),
        ),
    ),
)
