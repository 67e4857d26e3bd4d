"""The teacher T-WDet on COCO 2014: WSDDN on VGG16 and 500 proposals, Table 3.

Proposals: `python tools/generate_proposals.py configs/_base_/datasets/coco2014_448.py --split all --num 500 \
--generator EdgeBoxesGenerator --out data/proposals/coco2014.st`.
"""

_base_ = [
    '../_base_/datasets/coco2014_448.py',
    '../_base_/models/kd_wsd_vgg16_teacher.py',
    '../_base_/schedules/kd_wsd_teacher_sgd_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=80))

load = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='mlic_mm.LoadProposals', file='data/proposals/coco2014.st', num=500),
]
pack = dict(type='mlic_mm.PackProposals', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    *load,
    dict(type='RandomChoiceResize', scales=[(size, size) for size in (480, 576, 672, 736, 832)]),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
test_pipeline = [*load, dict(type='Resize', scale=(672, 672)), pack]
# Images of several sizes are padded to one by the preprocessor, on the right and below, away from all proposals.
train_dataloader = dict(collate_fn=dict(type='pseudo_collate'), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(preset='liu')
test_evaluator = val_evaluator
