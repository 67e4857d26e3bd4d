"""The spatial-context-aware network on COCO 2017, Table 1."""

_base_ = [
    './_base_/datasets/coco2017_448.py',
    './_base_/models/spatial_context_resnext101.py',
    './_base_/schedules/spatial_context_sgd_24e.py',
    './_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=80))

pack = dict(type='mlic_mm.PackBoxes')
train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(416, 416)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
# Without LoadAnnotations: metrics read boxes in pixels of the file.
test_pipeline = [dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(416, 416)), pack]
train_dataloader = dict(batch_size=2, dataset=dict(with_boxes=True, pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(with_boxes=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

# Labels of images, and, because it also detects, boxes.
val_evaluator = [dict(type='mlic_mm.MLICMetric', preset='mlgcn'), dict(type='mmdet.CocoMetric')]
test_evaluator = val_evaluator
