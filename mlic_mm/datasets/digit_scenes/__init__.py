"""The built-in data set: scenes of scanned digits."""

from .dataset import DigitScenes
from .scenes import write_digit_scenes

__all__ = ['DigitScenes', 'write_digit_scenes']
