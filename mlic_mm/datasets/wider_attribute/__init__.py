"""WIDER Attribute."""

from .dataset import WIDERAttribute

__all__ = ['WIDERAttribute']
