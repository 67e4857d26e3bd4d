"""The plain classifier beside it: the same images, backbone and schedule, average pooling and a linear layer."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/spatial_context_adamw_3e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiLabelLinearClsHead', num_classes=20, in_channels=1280, loss=dict(type='mlic_mm.MultiLabelBCELoss')
    ),
)

load = dict(type='mlic_mm.LoadImage', cache_mb=1000)
resize = dict(type='Resize', scale=(160, 160))
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
train_dataloader = dict(batch_size=8, drop_last=True, dataset=dict(pipeline=[load, resize, flip, _base_.pack]))
val_dataloader = dict(dataset=dict(pipeline=[load, resize, _base_.pack]))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=3e-3))  # better than 1e-3 on validation images
