"""Table IV: no channel attention."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(channel_attention='none'))
