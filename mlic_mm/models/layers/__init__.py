"""Layers and functions that know tensors only."""

from .aggregate import aggregate, segment_softmax
from .attention_graph_conv import AttentionGraphConv
from .channel_attention import ChannelAttention, Pooling
from .context_expand import ContextExpand
from .feature_map import channels_first, feature_map
from .fusion import Fusion, fuse_logits
from .graph_conv import GraphConv
from .regions import fuse_branches, image_logits, roi_pool, select_regions
from .residual_graph_block import ResidualGraphBlock

__all__ = [
    'AttentionGraphConv',
    'ChannelAttention',
    'ContextExpand',
    'Fusion',
    'GraphConv',
    'Pooling',
    'ResidualGraphBlock',
    'aggregate',
    'channels_first',
    'feature_map',
    'fuse_branches',
    'fuse_logits',
    'image_logits',
    'roi_pool',
    'segment_softmax',
    'select_regions',
]
