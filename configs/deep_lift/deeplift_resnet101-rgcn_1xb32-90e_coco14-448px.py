"""Tables I-III: residual graph convolutions, one block."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(label_graph=dict(layer='residual')))
