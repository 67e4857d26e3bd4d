"""Deep-LIFT (AGCN) on VOC 2007, Table II.

Build its label graph first: ``python tools/build_label_graph.py configs/deeplift_voc07.py --word-vectors FILE``.
"""

_base_ = [
    './_base_/datasets/voc07_448.py',
    './_base_/models/deeplift_resnet101.py',
    './_base_/schedules/deeplift_sgd_90e.py',
    './_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=20, label_graph=dict(graph='data/label_graphs/voc2007.npz')))
