"""The spatial-context-aware network on VOC 2007, Table 2."""

_base_ = [
    './_base_/datasets/voc07_448.py',
    './_base_/models/spatial_context_resnext101.py',
    './_base_/schedules/spatial_context_sgd_24e.py',
    './_base_/default_runtime.py',
]

# Difficult objects are no background. On COCO they would be crowds, in which many objects lie that would not be learnt.
ignore = dict(assigner=dict(ignore_iof_thr=0.5))
model = dict(head=dict(num_classes=20, train_cfg=ignore), objectives=dict(rpn=dict(train_cfg=dict(rpn=ignore))))

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
val_evaluator = [dict(type='mlic_mm.MLICMetric', preset='mlgcn'), dict(type='mmdet.VOCMetric', eval_mode='area')]
test_evaluator = val_evaluator
