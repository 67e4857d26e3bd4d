"""Table IV: channel attention on average-pooled maps."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(channel_attention='avg'))
