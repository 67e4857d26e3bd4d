# The first 2,000 crops of PA-100K at 128 × 128, kept in memory, for machines without a GPU. Not the official split but
# our own: 1,400 for training and 600 for testing, two blocks of the published order, since neighbouring crops may show
# one person. No other images are needed, and of a complete copy no others are used.
data_root = '{{$PA100K_ROOT:data/pa100k}}'

# The ImageNet weights of EfficientNet-Lite were made for (x − 127) / 128.
data_preprocessor = dict(num_classes=26, mean=[127, 127, 127], std=[128, 128, 128], to_rgb=True)

pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
# No augmentation: attention consistency makes its own views. Squished, so that no attribute leaves the picture.
pipeline = [
    dict(type='mlic_mm.LoadImage', short_side=128, cache_mb=500),
    dict(type='Resize', scale=(128, 128)),
    pack,
]

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    dataset=dict(
        type='mlic_mm.PA100K',
        data_root=data_root,
        split='train',
        images=(1, 1400),
        pipeline=pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(
        type='mlic_mm.PA100K',
        data_root=data_root,
        split='train',
        images=(1401, 2000),
        pipeline=pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mlic_mm.MLICMetric', preset='pedestrian')
test_evaluator = val_evaluator
