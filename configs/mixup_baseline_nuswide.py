"""Mixup baseline, ResNet-101 and M3 (flips, random resized crops, mixup), on NUS-WIDE, Table 2."""

_base_ = [
    './_base_/datasets/nuswide_448.py',
    './_base_/models/mixup_baseline_resnet101.py',
    './_base_/schedules/mixup_baseline_sgd_40e.py',
    './_base_/default_runtime.py',
]

data_preprocessor = dict(type='mlic_mm.MultiLabelDataPreprocessor')
model = dict(
    # The learning rates belong to a loss averaged over labels, as in the authors' code; Eq. 1 is their sum.
    head=dict(num_classes=81, loss=dict(loss_weight=1 / 81)),
    train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')),
)
default_hooks = dict(alternate=dict(type='mlic_mm.AlternateBatchAugmentHook'))

# torchvision's default crop, 8-100 % of the area, as the paper says.
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='RandomResizedCrop', scale=448),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(preset='wang')
test_evaluator = val_evaluator
