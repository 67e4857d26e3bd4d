"""The student S-Cls without distillation on NUS-WIDE, Table 2; tests an exported student as well."""

_base_ = [
    '../_base_/datasets/nuswide_448.py',
    '../_base_/models/kd_wsd_vgg16_student.py',
    '../_base_/schedules/kd_wsd_stage2_sgd_30e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=81))

load = [dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(224, 224))]
train_pipeline = [*load, dict(type='RandomFlip', prob=0.5, direction='horizontal'), _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=[*load, _base_.pack]))
test_dataloader = val_dataloader

val_evaluator = dict(preset='liu')
test_evaluator = val_evaluator
