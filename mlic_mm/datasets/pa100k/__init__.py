"""PA-100K."""

from .dataset import PA100K

__all__ = ['PA100K']
