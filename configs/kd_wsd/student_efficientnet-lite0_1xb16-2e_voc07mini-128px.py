"""The student without distillation on the small VOC, with the augmentation of the students that have a teacher."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/kd_wsd_adamw_2e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiLabelLinearClsHead', num_classes=20, in_channels=1280, loss=dict(type='mlic_mm.MultiLabelBCELoss')
    ),
)
pipeline = [
    dict(type='mlic_mm.LoadImage', short_side=150, cache_mb=1000),
    dict(type='Resize', scale=(128, 128)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    _base_.pack,
]
train_dataloader = dict(batch_size=16, drop_last=True, dataset=dict(pipeline=pipeline))
val_evaluator = dict(preset='liu')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))
