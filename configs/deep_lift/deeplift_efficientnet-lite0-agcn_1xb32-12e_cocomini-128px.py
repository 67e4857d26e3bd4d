"""``deeplift_coco.py`` unchanged but for data root, size, epochs and backbone: 280 + 120 photographs on a CPU."""

_base_ = '../deeplift_coco.py'

data_root = '{{$COCO_ROOT:data/coco_mini}}'
load = dict(type='mlic_mm.LoadImage', short_side=150, cache_mb=100)
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    load,
    dict(type='RandomResizedCrop', scale=128, crop_ratio_range=(0.25, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
test_pipeline = [load, dict(type='Resize', scale=(128, 128)), pack]
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix='train2017',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix='val2017',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

model = dict(
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/tf_efficientnet_lite0.pth'),
    ),
    head=dict(in_channels=1280, label_graph=dict(graph='data/label_graphs/cocomini.npz')),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[8], gamma=0.1)]
train_cfg = dict(max_epochs=12, val_interval=3)
default_hooks = dict(logger=dict(interval=3), checkpoint=dict(interval=3))
