"""Augments that blend the images of a batch."""

from .keep_ignored import keep_ignored
from .mixup_or import MixupOR

__all__ = ['MixupOR', 'keep_ignored']
