"""Multi-label image classification for the OpenMMLab toolboxes.

``custom_imports = dict(imports=['mlic_mm'])`` in any OpenMMLab config registers every part under ``mlic_mm.Name``.
"""

import sys
from importlib.util import find_spec

from .version import __version__

__all__ = ['__version__']

# `python -m mlic_mm.doctor` imports this package first, and has to speak where its requirements are broken.
if 'mlic_mm.doctor' not in sys.orig_argv:
    if _missing := [name for name in ('mmengine', 'mmcv', 'mmpretrain') if find_spec(name) is None]:
        raise ImportError(
            f'mlic_mm needs the OpenMMLab packages; not installed: {", ".join(_missing)}. Install the maintained line '
            'with `pip install mlic_mm[mm]` (from a clone: `pip install -e .[mm]`), or the original mmengine, mmcv '
            'and mmpretrain. `python -m mlic_mm.doctor` says what is there.'
        )
    from .config_files.import_noise import hold_back_noise

    with hold_back_noise():
        from mlic_mm import datasets, engine, evaluation, models  # noqa: F401  (registers the parts)
