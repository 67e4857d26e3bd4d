"""Knowledge distillation from weakly supervised detection on NUS-WIDE, both stages, Table 2.

First the teacher: `python tools/train.py configs/kd_wsd/wsddn_vgg16_1xb32-20e_nuswide-672px.py`.
"""

_base_ = [
    './_base_/datasets/nuswide_448.py',
    './_base_/models/kd_wsd_vgg16_distill.py',
    './_base_/schedules/kd_wsd_sgd_130e.py',
    './_base_/default_runtime.py',
]

teacher = 'work_dirs/wsddn_vgg16_1xb32-20e_nuswide-672px'
model = dict(
    head=dict(num_classes=81),
    objectives=dict(
        teacher=dict(
            losses=dict(prediction=dict(num_classes=81)),
            teacher=dict(
                config=f'{teacher}/wsddn_vgg16_1xb32-20e_nuswide-672px.py', checkpoint=f'{teacher}/epoch_20.pth'
            ),
        ),
    ),
)

default_hooks = dict(distill_stage=dict(type='mlic_mm.DistillStageHook', epoch=101))

# The teacher looks at 672 pixels, the student at the same image made smaller.
train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='mlic_mm.LoadProposals', file='data/proposals/nuswide.st', num=500),
    dict(type='Resize', scale=(672, 672)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mlic_mm.PackProposals', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape')),
]
test_pipeline = [dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(224, 224)), _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(preset='liu')
test_evaluator = val_evaluator
