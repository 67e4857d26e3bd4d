"""Transforms: what happens to one sample before it is batched."""

from .image_io import BadImageError, read_image
from .load_image import LoadImage

__all__ = ['BadImageError', 'LoadImage', 'read_image']
