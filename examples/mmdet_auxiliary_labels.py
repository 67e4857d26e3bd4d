"""mmdet's Faster R-CNN, whose backbone also learns which labels an image has, from the Deep-LIFT head.

    python tools/train.py examples/mmdet_auxiliary_labels.py   # or: mim train mmdet examples/mmdet_auxiliary_labels.py

Data, schedule and metrics are mmdet's. A checkpoint can be tested with mmdet's own config, which is in ``_base_``.
The label graph: ``python tools/build_label_graph.py configs/deeplift_coco.py --word-vectors glove-50d``.
"""

_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)

model = dict(
    _delete_=True,
    type='mlic_mm.LabelledDetector',
    detector=_base_.model,
    head=dict(
        type='mlic_mm.DeepLIFTHead',
        num_classes=80,
        in_channels=2048,
        label_graph=dict(graph='data/label_graphs/coco2014.npz'),
        loss=dict(type='mlic_mm.MultiLabelBCELoss', loss_weight=0.1),
    ),
)
custom_hooks = [dict(type='mlic_mm.LabelCheckHook')]  # data and label graph have the same labels in the same order
