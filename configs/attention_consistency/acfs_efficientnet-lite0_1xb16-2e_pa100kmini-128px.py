"""Attention consistency on crops of PA-100K: what `tools/reproduce.py attention_consistency/5 --data mini` varies."""

_base_ = [
    '../_base_/datasets/pa100k_128.py',
    '../_base_/models/attention_consistency_lite0.py',
    '../_base_/schedules/attention_consistency_adamw_2e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=16, drop_last=True)
model = dict(head=dict(num_classes=26))
