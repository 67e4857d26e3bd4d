"""Everything together on VOC 2007: Deep-LIFT, consistency under flip, a teacher, mixup, the weighted loss and EMA.

First the teacher, `python tools/train.py configs/mixup_baseline_voc07.py`, and the label graph,
`python tools/build_label_graph.py configs/deeplift_voc07.py --word-vectors FILE`. To leave a part out, give for example
`--cfg-options model.objectives.teacher=None`.
"""

_base_ = [
    './_base_/datasets/voc07_448.py',
    './_base_/models/deeplift_resnet101.py',
    './_base_/schedules/deeplift_sgd_90e.py',
    './_base_/default_runtime.py',
]

teacher = 'work_dirs/mixup_baseline_voc07'
data_preprocessor = dict(type='mlic_mm.MultiLabelDataPreprocessor')
model = dict(
    type='mlic_mm.MultiLabelClassifier',
    head=dict(
        num_classes=20,
        label_graph=dict(graph='data/label_graphs/voc2007.npz'),
        loss=dict(type='mlic_mm.WeightedBCELoss'),
    ),
    objectives=dict(
        consistency=dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')]),
        teacher=dict(
            type='mlic_mm.Distillation',
            teacher=dict(config=f'{teacher}/mixup_baseline_voc07.py', checkpoint=f'{teacher}/epoch_40.pth'),
            losses=dict(soft=dict(type='mlic_mm.HintonDistillLoss')),
        ),
    ),
    train_cfg=dict(augments=dict(type='mlic_mm.MixupOR')),
)
train_dataloader = dict(batch_size=16)  # the image and its mirror image: 32 in a step, as in the schedule
default_hooks = dict(
    # Odd epochs are mixed, so the last of 90 is not.
    mixup=dict(type='mlic_mm.AlternateBatchAugmentHook', start=1),
    positive_ratio=dict(type='mlic_mm.PositiveRatioHook'),
    ema=dict(type='EMAHook', momentum=1e-3),
)
