"""Table IV: no channel attention."""

_base_ = '../deeplift_voc07.py'

model = dict(head=dict(channel_attention='none'))
