"""The teacher on the small VOC: weakly supervised detection in 100 proposals at 256 px, on frozen features.

Proposals: `python tools/generate_proposals.py configs/_base_/datasets/voc07_448.py --split all --num 500 \
--generator EdgeBoxesGenerator --out data/proposals/voc07_mini.st`.
"""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/kd_wsd_adamw_2e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        type='mlic_mm.WSDDNHead',
        num_classes=20,
        in_channels=1280,
        stride=32,
        roi_size=3,  # the map has 8 x 8 cells
        test_cfg=dict(boxes=True),
    ),
)

load = [
    dict(type='mlic_mm.LoadImage', short_side=256, cache_mb=2000),
    dict(type='mlic_mm.LoadProposals', file='data/proposals/voc07_mini.st', num=100),
    dict(type='Resize', scale=(256, 256)),
]
pack = dict(
    type='mlic_mm.PackProposals', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'instances')
)
train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=[*load, dict(type='RandomFlip', prob=0.5, direction='horizontal'), pack])
)
val_dataloader = dict(batch_size=10, dataset=dict(with_boxes=True, pipeline=[*load, pack]))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mlic_mm.MLICMetric', preset='liu'), dict(type='mlic_mm.CorLoc')]
test_evaluator = val_evaluator

# Trained at this rate the backbone spoils; the two linear layers alone are a better teacher.
custom_hooks = [dict(type='mlic_mm.UnfreezeHook', modules=['backbone'])]
