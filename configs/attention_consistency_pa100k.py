"""Attention consistency under flip and scaling (R50+ACfs), ResNet-50 on PA-100K, Table 5."""

_base_ = [
    './_base_/datasets/pa100k_224.py',
    './_base_/models/attention_consistency_resnet50.py',
    './_base_/schedules/attention_consistency_sgd_12e.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=16)
model = dict(head=dict(num_classes=26))
