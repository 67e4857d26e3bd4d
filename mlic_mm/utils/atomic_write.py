"""Write a file completely or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['atomic_write', 'check_can_write']


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to. At the end of the block this file replaces ``path``.

    The folder of ``path`` is made. If the block fails or is interrupted, the new file is deleted and the old one
    stays. The yielded path lies in a new folder beside ``path`` that belongs to this call alone, so no other process
    or thread writes there, and nobody can place a link. It has the name of ``path``, because some libraries read the
    format from the name.

    Args:
        path: The file to write. An old file is replaced.

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
                os.fsync(written.fileno())  # without this, a power cut may leave an empty file
        except OSError as error:
            if error.errno is not None and error.filename is None:  # for example of a full disk
                error.filename = str(path)
            raise
        os.replace(part, path)


def check_can_write(path: str | Path, force: bool = True) -> None:
    """Check before the work whether a file can be written after it.

    Args:
        path: The file. The file and its folders may be missing. The check leaves nothing behind.
        force: Whether an old file may be replaced.

    Raises:
        FileExistsError: The file exists, and ``force`` is false.
        OSError: The folder cannot be written to; the message names the folder and the reason.
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
