"""Labels in a CSV table."""

from .dataset import CSVMultiLabel

__all__ = ['CSVMultiLabel']
