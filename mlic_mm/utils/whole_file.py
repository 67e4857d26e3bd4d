"""Files that are written whole or not at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; at the end of the block it takes the place of ``path``.

    The folder is made. Where the block fails or is interrupted, what was written is deleted and an older file of that
    name stays. The yielded name ends as ``path`` does, for libraries that read the format off it.

    Args:
        path: The file; one that exists is replaced.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The system's number of the thread, so that neither processes nor threads share a name.
    part = path.with_name(f'.{threading.get_native_id()}.{path.name}')
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
