"""Deep-LIFT (AGCN) from scratch on the embedded digit scenes: what ``make demo`` trains in two minutes on two cores.

Reaches an mAP of some 58 to 64, which depends on the processor; guessing gives 22.
"""

_base_ = ['./_base_/datasets/digits_96.py', './_base_/default_runtime.py']

# At half their size the scans, 8 × 8 pixels each, still show all they have.
load = dict(type='mlic_mm.LoadImage', cache_mb=200)
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [load, dict(type='Resize', scale=(52, 52)), dict(type='RandomCrop', crop_size=48), pack]
test_pipeline = [load, dict(type='Resize', scale=(48, 48)), pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

model = dict(
    type='ImageClassifier',
    # Three narrow stages and a last map of 6 × 6.
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        num_stages=3,
        stem_channels=16,
        base_channels=16,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=10,
        in_channels=64,
        # For a backbone that starts from nothing: averaged maps as they are, whose gradients reach every place. Maps
        # that are normalised, gated or reduced to their peak learn half as much in the time (docs/results.md).
        residual='avg',
        normalize_maps=False,
        channel_attention='none',
        label_graph=dict(graph='data/label_graphs/digits.npz', layer='attention', hidden_channels=(64,)),
    ),
)

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05),
    # A step of Adam in each of several matrices multiplies up to a large step of the label embeddings.
    paramwise_cfg=dict(custom_keys={'label_graph': dict(lr_mult=0.05), 'projection': dict(lr_mult=0.05)}),
    clip_grad=dict(max_norm=10, norm_type=2),
)
max_epochs = 18
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=150),
    dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=6)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=6))
randomness = dict(seed=0)
