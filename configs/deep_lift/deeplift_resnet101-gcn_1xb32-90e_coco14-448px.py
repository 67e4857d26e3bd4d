"""Table III: plain graph convolutions."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(label_graph=dict(layer='gcn')))
