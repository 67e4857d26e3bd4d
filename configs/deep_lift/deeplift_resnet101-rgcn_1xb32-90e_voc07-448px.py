"""Tables I-III: residual graph convolutions, one block."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(label_graph=dict(layer='residual')))
