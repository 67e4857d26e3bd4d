"""The plain baseline beside Deep-LIFT: average pooling, a linear layer and binary cross-entropy."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/adamw_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiLabelLinearClsHead',
        num_classes=20,
        in_channels=1280,
        loss=dict(type='mlic_mm.MultiLabelBCELoss'),
    ),
)
