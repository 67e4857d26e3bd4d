"""Table IV: channel attention on average-pooled maps."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(channel_attention='avg'))
