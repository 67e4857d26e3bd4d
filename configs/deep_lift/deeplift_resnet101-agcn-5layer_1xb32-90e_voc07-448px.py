"""Table V: five attention layers. The paper lists the widths of four; a third 1024 is added."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(label_graph=dict(hidden_channels=(512, 1024, 1024, 1024))))
