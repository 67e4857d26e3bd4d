# VOC 2012 at 448 × 448: train for training, val for testing (the labels of its test set are not public).
# Difficult labels as in ML-GCN: positive in training, left out of the AP (−1) in testing.
data_root = '{{$VOC12_ROOT:data/VOCdevkit/VOC2012}}'

data_preprocessor = dict(
    num_classes=20,
    # Mean and standard deviation of ImageNet, RGB order.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    # ML-GCN's random crop takes 25–100 % of the area and at most about 3:4 of its shape.
    dict(type='RandomResizedCrop', scale=448, crop_ratio_range=(0.25, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    pack,
]
# Squished, not cropped, so that no label leaves the picture.
test_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='Resize', scale=(448, 448)),
    pack,
]

# Workers are started anew each epoch (`persistent_workers=False`): only so a resumed run equals an unbroken one.
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mlic_mm.VOCMultiLabel',
        data_root=data_root,
        split='train',
        difficult='positive',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mlic_mm.VOCMultiLabel',
        data_root=data_root,
        split='val',
        difficult='ignore',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mlic_mm.MLICMetric', preset='mlgcn')
test_evaluator = val_evaluator
