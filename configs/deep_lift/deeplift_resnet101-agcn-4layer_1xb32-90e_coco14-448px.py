"""Table V: four attention layers."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(label_graph=dict(hidden_channels=(512, 1024, 1024))))
