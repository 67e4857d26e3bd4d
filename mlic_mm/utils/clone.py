"""Where configs and tools lie: in a clone, or in what an installed package has of one."""

from pathlib import Path

__all__ = ['CLONE']

_PACKAGE = Path(__file__).resolve().parents[1]
CLONE = _PACKAGE.parent if (_PACKAGE.parent / 'tools' / 'train.py').is_file() else _PACKAGE / '.mim'
"""Folder with ``configs/`` and ``tools/``."""
