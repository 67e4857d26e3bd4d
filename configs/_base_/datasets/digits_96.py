# The embedded digit scenes, ten classes, 112 × 112 pixels, seen at 96 × 96. Written on first use; nothing to download.
data_root = '{{$DIGITS_ROOT:data/digits}}'

# Near mid-gray, as the scenes are.
data_preprocessor = dict(num_classes=10, mean=[120.0, 120.0, 120.0], std=[50.0, 50.0, 50.0], to_rgb=True)

pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    # No flips: a mirrored digit is none.
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.75, 1.0)),
    pack,
]
test_pipeline = [
    dict(type='mlic_mm.LoadImage'),
    dict(type='Resize', scale=(96, 96)),
    pack,
]

# Images this small are read faster than workers start.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mlic_mm.DigitScenes', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mlic_mm.DigitScenes', data_root=data_root, split='val', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mlic_mm.MLICMetric', preset='mlgcn')
test_evaluator = val_evaluator
