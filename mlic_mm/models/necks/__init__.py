"""Necks between backbone and head."""

from .tokens_to_map import TokensToMap
from .vgg_neck import VGGNeck

__all__ = ['TokensToMap', 'VGGNeck']
