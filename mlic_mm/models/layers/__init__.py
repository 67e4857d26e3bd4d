from .aggregate import aggregate, segment_softmax
from .attention_graph_conv import AttentionGraphConv
from .channel_attention import POOLINGS, ChannelAttention
from .graph_conv import GraphConv
from .regions import fuse_branches, image_logits, roi_pool, select_regions
from .residual_graph_block import ResidualGraphBlock

__all__ = [
    'POOLINGS',
    'AttentionGraphConv',
    'ChannelAttention',
    'GraphConv',
    'ResidualGraphBlock',
    'aggregate',
    'fuse_branches',
    'image_logits',
    'roi_pool',
    'segment_softmax',
    'select_regions',
]
