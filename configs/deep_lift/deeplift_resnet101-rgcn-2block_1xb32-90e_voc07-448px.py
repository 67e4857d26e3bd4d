"""Table VI: two residual blocks."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(label_graph=dict(layer='residual', num_blocks=2)))
