"""Transforms: what happens to one sample before it is batched."""

from .crop_box import CropBox
from .image_io import BadImageError, read_image
from .load_image import LoadImage
from .load_proposals import LoadProposals
from .load_teacher import LoadTeacher
from .pack_boxes import PackBoxes
from .pack_proposals import PackProposals

__all__ = [
    'BadImageError',
    'CropBox',
    'LoadImage',
    'LoadProposals',
    'LoadTeacher',
    'PackBoxes',
    'PackProposals',
    'read_image',
]
