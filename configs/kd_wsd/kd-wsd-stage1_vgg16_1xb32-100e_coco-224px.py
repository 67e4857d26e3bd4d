"""Stage 1 on COCO 2014: features of the teacher's regions alone, without labels."""

_base_ = ['../kd_wsd_coco.py']

model = dict(objectives=dict(teacher=dict(stage=1)))
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = []
train_cfg = dict(max_epochs=100)  # not validated, for which the base config waits longer
default_hooks = dict(distill_stage=None)
