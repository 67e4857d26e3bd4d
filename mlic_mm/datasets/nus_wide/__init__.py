"""NUS-WIDE."""

from .dataset import NUSWIDE

__all__ = ['NUSWIDE']
