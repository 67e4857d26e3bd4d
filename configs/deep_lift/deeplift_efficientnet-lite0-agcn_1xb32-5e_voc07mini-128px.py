"""Deep-LIFT (AGCN) on the small VOC: what ``docs/results.md`` compares with the plain baseline."""

_base_ = [
    '../_base_/datasets/voc07_128.py',
    '../_base_/models/efficientnet_lite0.py',
    '../_base_/schedules/adamw_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=20,
        in_channels=1280,
        label_graph=dict(graph='data/label_graphs/voc07mini.npz', layer='attention'),
    ),
)
