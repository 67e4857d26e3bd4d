"""Both stages on the small VOC, from a cached teacher: what `tools/reproduce.py kd_wsd/1 --data mini` varies.

The cache: `T=work_dirs/wsddn_efficientnet-lite0_1xb8-2e_voc07mini-256px; python tools/cache_teacher.py \
$T/$(basename $T).py $T/epoch_2.pth --out $T/cache --num-regions 30 --layers backbone.timm_model.blocks.5`.
"""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/kd_wsd_adamw_2e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='mlic_mm.MultiLabelClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='MultiLabelLinearClsHead', num_classes=20, in_channels=1280, loss=dict(type='mlic_mm.MultiLabelBCELoss')
    ),
    objectives=dict(
        teacher=dict(
            type='mlic_mm.Distillation',
            losses=dict(
                roi=dict(
                    type='mlic_mm.RoIFeatureDistillLoss', student_layer='backbone.timm_model.blocks.5', roi_size=3
                ),
                prediction=dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=20, num_proposals=100),
            ),
        ),
    ),
)
teacher = 'work_dirs/wsddn_efficientnet-lite0_1xb8-2e_voc07mini-256px'
pipeline = [
    dict(type='mlic_mm.LoadImage', short_side=150, cache_mb=1000),
    dict(
        type='mlic_mm.LoadTeacher',
        cache=f'{teacher}/cache',
        config=f'{teacher}/wsddn_efficientnet-lite0_1xb8-2e_voc07mini-256px.py',
        checkpoint=f'{teacher}/epoch_2.pth',
    ),
    dict(type='Resize', scale=(128, 128)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mlic_mm.PackProposals', meta_keys=_base_.pack.meta_keys),
]
train_dataloader = dict(batch_size=16, drop_last=True, dataset=dict(pipeline=pipeline))
val_evaluator = dict(preset='liu')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))

# One epoch of stage 1 at a tenth of the rate, as in the paper, and two of stage 2.
default_hooks = dict(distill_stage=dict(type='mlic_mm.DistillStageHook', epoch=2))
param_scheduler = [
    dict(type='ConstantLR', factor=0.1, begin=0, end=2, by_epoch=True),  # ends one epoch before its end
    dict(type='CosineAnnealingLR', begin=1, end=3, T_max=2, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=3)
