"""Stage 2 on COCO 2014: labels and predictions of the teacher, from the weights of stage 1."""

_base_ = ['../kd_wsd_coco.py']

load_from = 'work_dirs/kd-wsd-stage1_vgg16_1xb32-100e_coco-224px/epoch_100.pth'
model = dict(objectives=dict(teacher=dict(stage=2)))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(max_epochs=30, val_begin=1)
default_hooks = dict(distill_stage=None)
