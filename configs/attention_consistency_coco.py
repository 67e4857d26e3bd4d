"""Attention consistency under flip and scaling (ACfs), ResNet-101 on COCO 2014 at 288 px, Table 6."""

_base_ = [
    './_base_/datasets/coco2014_448.py',
    './_base_/models/attention_consistency_resnet50.py',
    './_base_/schedules/attention_consistency_sgd_12e.py',
    './_base_/default_runtime.py',
]

flip = dict(type='mlic_mm.FlipView')
scale = dict(type='mlic_mm.ScaleView', size=256)
model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/resnet101_8xb32_in1k_20210831-539c63f8.pth'
        ),
    ),
    head=dict(num_classes=80),
    objectives=dict(consistency=dict(views=[flip, scale, dict(type='mlic_mm.ComposeView', views=[flip, scale])])),
)

# Squished, with no other augmentation than the views; images without labels are kept (82,783 and 40,504).
pipeline = [dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(288, 288)), _base_.pack]
train_dataloader = dict(batch_size=24, dataset=dict(pipeline=pipeline, drop_empty=False))
val_dataloader = dict(dataset=dict(pipeline=pipeline, drop_empty=False))
test_dataloader = val_dataloader
val_evaluator = dict(preset='guo')
test_evaluator = val_evaluator

# As in the authors' code for COCO.
param_scheduler = [dict(type='StepLR', by_epoch=True, step_size=6, gamma=0.1)]
train_cfg = dict(max_epochs=14)
auto_scale_lr = dict(base_batch_size=24)
