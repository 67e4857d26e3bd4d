# PA-100K at 224 × 224, squished, official split: trained on train (80,000 crops), tested on test (10,000).
# No augmentation: attention consistency makes its own views.
data_root = '{{$PA100K_ROOT:data/pa100k}}'

data_preprocessor = dict(
    num_classes=26,
    # Mean and standard deviation of ImageNet, RGB order.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='Resize', scale=(224, 224)),
    dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape')),
]

# Workers are started anew each epoch (`persistent_workers=False`): only so a resumed run equals an unbroken one.
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mlic_mm.PA100K',
        data_root=data_root,
        split='train',
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=False,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mlic_mm.PA100K',
        data_root=data_root,
        split='test',
        pipeline=pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mlic_mm.MLICMetric', preset='pedestrian')
test_evaluator = val_evaluator
