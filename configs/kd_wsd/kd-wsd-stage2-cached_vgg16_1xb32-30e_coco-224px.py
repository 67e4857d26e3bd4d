"""Stage 2 on COCO 2014 without the teacher in memory: its predictions are read from a cache, which takes 13 GB.

The cache: `T=work_dirs/wsddn_vgg16_1xb32-20e_coco-672px; python tools/cache_teacher.py $T/$(basename $T).py \
$T/epoch_20.pth --out $T/cache --split train`. It has not seen the flipped images.
"""

_base_ = ['../kd_wsd_coco.py']

load_from = 'work_dirs/kd-wsd-stage1_vgg16_1xb32-100e_coco-224px/epoch_100.pth'
model = dict(objectives=dict(teacher=dict(stage=2, teacher=None, student_size=None)))

train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(
        type='mlic_mm.LoadTeacher',
        cache=f'{_base_.teacher}/cache',
        config=_base_.model.objectives.teacher.teacher.config,
        checkpoint=_base_.model.objectives.teacher.teacher.checkpoint,
    ),
    dict(type='Resize', scale=(224, 224)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mlic_mm.PackProposals', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(max_epochs=30, val_begin=1)
default_hooks = dict(distill_stage=None)
