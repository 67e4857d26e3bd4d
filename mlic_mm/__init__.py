"""Multi-label image classification for the OpenMMLab toolboxes.

``custom_imports = dict(imports=['mlic_mm'])`` in any OpenMMLab config registers every part under ``mlic_mm.Name``.
"""

from .version import __version__

__all__ = ['__version__']
