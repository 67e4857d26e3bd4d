"""Attention consistency on the small VOC: what `tools/reproduce.py attention_consistency/6 --data mini` varies."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/attention_consistency_lite0.py',
    '../_base_/schedules/attention_consistency_adamw_2e.py',
    '../_base_/default_runtime.py',
]

# No augmentation but the views.
pipeline = [
    dict(type='mlic_mm.LoadImage', short_side=128, cache_mb=1000),
    dict(type='Resize', scale=(128, 128)),
    _base_.pack,
]
train_dataloader = dict(batch_size=16, drop_last=True, dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(preset='guo')
test_evaluator = val_evaluator
model = dict(head=dict(num_classes=20))
