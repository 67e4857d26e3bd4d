# VOC 2007 for machines without a GPU: small pictures, kept in memory after they were decoded once (230 MB for 2,400).
dataset_type = 'mlic_mm.VOCMultiLabel'
data_root = '{{$VOC_ROOT:data/VOCdevkit/VOC2007}}'
data_preprocessor = dict(num_classes=20, mean=[127, 127, 127], std=[128, 128, 128], to_rgb=True)

pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
load = dict(type='mlic_mm.LoadImage', short_side=150, cache_mb=1000)
train_pipeline = [
    load,
    dict(type='RandomResizedCrop', scale=128, crop_ratio_range=(0.4, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
test_pipeline = [load, dict(type='Resize', scale=(128, 128)), pack]

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    dataset=dict(type=dataset_type, data_root=data_root, split='trainval', difficult='ignore', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(
        type=dataset_type, data_root=data_root, split='test', difficult='ignore', test_mode=True, pipeline=test_pipeline
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mlic_mm.MLICMetric', preset='mlgcn')
test_evaluator = val_evaluator
