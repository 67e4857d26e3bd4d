"""Data sets for multi-label image classification and their transforms."""

from .coco import COCOMultiLabel
from .digit_scenes_dataset import DigitScenes
from .transforms import LoadImage
from .voc import VOCMultiLabel

__all__ = ['COCOMultiLabel', 'DigitScenes', 'LoadImage', 'VOCMultiLabel']
