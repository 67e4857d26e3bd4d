"""Deep-LIFT (RGCN) on the small VOC."""

_base_ = './deeplift_efficientnet-lite0-agcn_1xb32-5e_voc07mini-128px.py'

model = dict(head=dict(label_graph=dict(layer='residual')))
