"""Atomic writes of mmengine's local files, checkpoints above all."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mlic_mm.utils.atomic_write import atomic_write

__all__ = ['WholeFileBackend', 'write_checkpoints_atomically']


class WholeFileBackend(LocalBackend):
    """mmengine's local files with atomic writes: a killed process leaves the older file, or none."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """See the base class."""
        with atomic_write(filepath) as part:
            part.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """See the base class."""
        with atomic_write(filepath) as part:
            part.write_text(obj, encoding=encoding)


def write_checkpoints_atomically() -> None:
    """Let mmengine write its local files with :class:`WholeFileBackend`, in this whole process."""
    register_backend('local', WholeFileBackend, force=True, prefixes='')
