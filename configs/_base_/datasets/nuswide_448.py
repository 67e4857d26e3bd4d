# NUS-WIDE at 448 × 448, 81 concepts in alphabetical order, official split.
# Images without labels are dropped (125,449 for training, 83,898 for testing), and so are those not on the disk, which
# may be anywhere below the root.
data_root = '{{$NUSWIDE_ROOT:data/nuswide}}'

data_preprocessor = dict(
    num_classes=81,
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
        type='mlic_mm.NUSWIDE',
        data_root=data_root,
        split='train',
        drop_empty=True,
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
        type='mlic_mm.NUSWIDE',
        data_root=data_root,
        split='test',
        drop_empty=True,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mlic_mm.MLICMetric', preset='mlgcn')
test_evaluator = val_evaluator
