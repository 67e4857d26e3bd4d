"""Table III: plain graph convolutions."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(label_graph=dict(layer='gcn')))
