"""Deep-LIFT (AGCN) on COCO 2014, Table I.

Build its label graph first: ``python tools/build_label_graph.py configs/deeplift_coco.py --word-vectors FILE``.
"""

_base_ = [
    './_base_/datasets/coco2014_448.py',
    './_base_/models/deeplift_resnet101.py',
    './_base_/schedules/deeplift_sgd_90e.py',
    './_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=80, label_graph=dict(graph='data/label_graphs/coco2014.npz')))
