"""A config in mmdet's scope: its ResNet under our head, all found by prefix.

    from mmengine.config import Config
    from mmdet.registry import MODELS
    model = MODELS.build(Config.fromfile('examples/mmdet_scope.py').model)

Needs the detection extra and a label graph (``tools/build_label_graph.py``).
"""

default_scope = 'mmdet'
custom_imports = dict(imports=['mlic_mm', 'mmpretrain.models'], allow_failed_imports=False)

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmdet.ResNet', depth=18, out_indices=(3,)),
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=3,
        in_channels=512,
        label_graph=dict(graph='data/mine/label_graph.npz'),
    ),
    data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'),
)
val_evaluator = dict(type='mlic_mm.MLICMetric')
