"""The small form of `combined_voc07.py`: EfficientNet-Lite0 at 128 pixels, four epochs.

The label graph and the teacher come first. Both have their configs in `configs/deep_lift`:
`python tools/build_label_graph.py configs/deep_lift/deeplift_efficientnet-lite0-agcn_1xb32-5e_voc07mini-128px.py \
--word-vectors FILE`, `python tools/train.py configs/deep_lift/linear_efficientnet-lite0_1xb32-5e_voc07mini-128px.py`.
"""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/adamw_5e.py',
    '../_base_/default_runtime.py',
]

teacher = 'linear_efficientnet-lite0_1xb32-5e_voc07mini-128px'
data_preprocessor = dict(type='mlic_mm.MultiLabelDataPreprocessor')
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=20,
        in_channels=1280,
        label_graph=dict(graph='data/label_graphs/voc07mini.npz', layer='attention'),
        loss=dict(type='mlic_mm.WeightedBCELoss'),
    ),
    objectives=dict(
        consistency=dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')]),
        teacher=dict(
            type='mlic_mm.Distillation',
            teacher=dict(config=f'work_dirs/{teacher}/{teacher}.py', checkpoint=f'work_dirs/{teacher}/epoch_5.pth'),
            losses=dict(soft=dict(type='mlic_mm.HintonDistillLoss')),
        ),
    ),
    train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')),
)
train_dataloader = dict(batch_size=16, drop_last=True)
default_hooks = dict(
    # Odd epochs are mixed, so the last one is not.
    mixup=dict(type='mlic_mm.AlternateBatchAugmentHook', start=1),
    positive_ratio=dict(type='mlic_mm.PositiveRatioHook'),
    ema=dict(type='EMAHook', momentum=5e-3),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=4, val_interval=4)
