"""Transforms of one sample, before it becomes a part of a batch."""

from .crop_box import CropBox
from .image_io import ENDINGS, BadImageError, pil_to_bgr, read_image
from .load_image import LoadImage
from .load_proposals import LoadProposals
from .load_teacher import LoadTeacher
from .pack_boxes import PackBoxes
from .pack_proposals import PackProposals

__all__ = [
    'ENDINGS',
    'BadImageError',
    'CropBox',
    'LoadImage',
    'LoadProposals',
    'LoadTeacher',
    'PackBoxes',
    'PackProposals',
    'pil_to_bgr',
    'read_image',
]
