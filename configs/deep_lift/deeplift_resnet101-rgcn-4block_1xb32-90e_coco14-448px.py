"""Table VI: four residual blocks."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(label_graph=dict(layer='residual', num_blocks=4)))
