"""A plain mmpretrain config that takes head, loss and metric from mlic_mm; the rest is mmpretrain's.

    mim train mmpretrain examples/plain_mmpretrain.py

The data set is mmpretrain's own ``MultiLabelDataset``: put images and an annotation file of OpenMMLab's format
(``metainfo`` with ``classes``, ``data_list`` with ``img_path`` and ``gt_label``) into ``data/mine``. The label graph:
``python tools/build_label_graph.py examples/plain_mmpretrain.py --word-vectors glove-50d``.
"""

default_scope = 'mmpretrain'
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)

num_classes = 3
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18),
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=num_classes,
        in_channels=512,
        label_graph=dict(graph='data/mine/label_graph.npz'),
        loss=dict(type='mlic_mm.MultiLabelBCELoss'),
    ),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='MultiLabelDataset', data_root='data/mine', ann_file='train.json', pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='MultiLabelDataset', data_root='data/mine', ann_file='val.json', pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='mlic_mm.MLICMetric', preset='mlgcn')

optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best='mAP', rule='greater'))
