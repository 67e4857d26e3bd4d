"""Necks between backbone and head."""

from .vgg_neck import VGGNeck

__all__ = ['VGGNeck']
