"""Transforms: what happens to one sample before it is batched."""

from .crop_box import CropBox
from .image_io import BadImageError, read_image
from .load_image import LoadImage

__all__ = ['BadImageError', 'CropBox', 'LoadImage', 'read_image']
