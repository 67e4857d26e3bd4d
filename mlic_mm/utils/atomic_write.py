"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['atomic_write', 'check_can_write']


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; at the end of the block the file takes the place of ``path``.

    The folder is made. Where the block fails or is interrupted, what was written is deleted and an older file of that
    name stays. The yielded path has the name of ``path``, for libraries that read the format off it, in a new folder
    beside it that belongs to this call alone: no other process or thread writes there, and nobody can place a link.

    Args:
        path: The file; one that exists is replaced.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix='.', suffix='.part', ignore_cleanup_errors=True) as own:
        part = Path(own, path.name)
        try:
            yield part
            with part.open('rb') as written:
                os.fsync(written.fileno())  # else a power cut may leave the new name without its content
        except OSError as error:
            if error.errno is not None and error.filename is None:  # a full disk, for one, does not say which file
                error.filename = str(path)
            raise
        os.replace(part, path)


def check_can_write(path: str | Path, force: bool = True) -> None:
    """Find out before the work, not after it, whether a file can be written.

    Args:
        path: The file; it and the folders above it may be missing. Nothing is left behind.
        force: Whether a file that exists may be replaced.

    Raises:
        FileExistsError: There is such a file, and ``force`` is false.
        OSError: Names the folder and what is wrong with it.
    """
    path = Path(path).expanduser()
    if not force and path.is_file():
        raise FileExistsError(f'{path} exists and is kept; --force replaces it, another name keeps both')
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; give the name of a file')
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise NotADirectoryError(f'{path} cannot be written: {folder} is a file, not a folder; give another path')
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise type(error)(f'{path} cannot be written: {folder}: {error.strerror}; give another path') from None
