"""Heads that score labels."""

from .constant_labels import ConstantLabels, constant_labels
from .deep_lift_head import DeepLIFTHead, DeepLIFTMaps
from .forward_with_maps import check_gives_maps, forward_with_maps, head_with_maps, map_channels, split_neck
from .spatial_context_head import SpatialContextHead
from .wsddn_head import WSDDNHead

__all__ = [
    'ConstantLabels',
    'DeepLIFTHead',
    'DeepLIFTMaps',
    'SpatialContextHead',
    'WSDDNHead',
    'check_gives_maps',
    'constant_labels',
    'forward_with_maps',
    'head_with_maps',
    'map_channels',
    'split_neck',
]
