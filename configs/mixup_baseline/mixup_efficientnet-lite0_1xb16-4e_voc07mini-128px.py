"""The paper's M3 on the small VOC: what `tools/reproduce.py mixup_baseline/2 --data mini` runs, and varies."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/default_runtime.py',
]

load = dict(type='mlic_mm.LoadImage', short_side=160, cache_mb=1000)
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    load,
    dict(type='RandomResizedCrop', scale=128),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
train_dataloader = dict(batch_size=16, drop_last=True, dataset=dict(pipeline=train_pipeline))

data_preprocessor = dict(type='mlic_mm.MultiLabelDataPreprocessor')
model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiLabelLinearClsHead',
        num_classes=20,
        in_channels=1280,
        loss=dict(type='mlic_mm.MultiLabelBCELoss'),
    ),
    train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')),
)
default_hooks = dict(alternate=dict(type='mlic_mm.AlternateBatchAugmentHook'))

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.005, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=4, val_interval=4)
val_cfg = dict()
test_cfg = dict()
val_evaluator = dict(type='mlic_mm.MLICMetric', preset='wang')
test_evaluator = val_evaluator
