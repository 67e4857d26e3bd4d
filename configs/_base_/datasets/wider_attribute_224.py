# WIDER Attribute: one person a sample, cropped to its box and squished to 224 × 224. Trained on trainval (28,345
# persons), tested on test (29,179). Unspecified attributes are ignored (−1).
# No augmentation: attention consistency makes its own views.
data_root = '{{$WIDER_ROOT:data/wider_attribute}}'

data_preprocessor = dict(
    num_classes=14,
    # Mean and standard deviation of ImageNet, RGB order.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

pipeline = [
    dict(type='mlic_mm.LoadImage'),
    # A few published boxes lie outside their photograph; the authors' code takes all of it there.
    dict(type='mlic_mm.CropBox', context=0.0, outside='whole'),
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
        type='mlic_mm.WIDERAttribute',
        data_root=data_root,
        split='trainval',
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
        type='mlic_mm.WIDERAttribute',
        data_root=data_root,
        split='test',
        pipeline=pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mlic_mm.MLICMetric', preset='guo')
test_evaluator = val_evaluator
