"""Parsed labels in the user's cache folder.

The name of an entry is made from the state of its source files: path, inode, size, and the times of the last changes of
content and status. Every write, copy or replacement changes one of them, even if size and modification time stay the
same. An entry holds plain arrays and no pickles. It gets its name when it is complete, and a damaged entry is written
again. Any number of processes may share it.
"""

import hashlib
import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

Parsed = tuple[list[str], np.ndarray]
"""Entries without line breaks, and labels, bool ``(N, C)``."""

_FORMAT = 1
SETTLED = 2.0
"""Seconds. A file that changed more recently may change again within one tick of its clock, which nobody notices."""


def cached_labels(sources: Sequence[str], parse: Callable[[], Parsed]) -> Parsed:
    """Return the result of ``parse``, from the cache if it is there.

    The result is not cached if the folder cannot be written, which mmengine's logger says once, or if the files changed
    meanwhile or within the last two seconds.

    Args:
        sources: The files that ``parse`` reads.
        parse: A function without arguments.
    """
    folder = _folder()
    if folder is None:
        return parse()
    entry = folder / f'{_state(sources)[0]}.npz'
    kept = _load(entry)
    if kept is not None:
        return kept
    result = parse()
    state, newest = _state(sources)
    if state == entry.stem and time.time() - newest > SETTLED:
        _store(entry, *result)
    return result


def _folder() -> Path | None:
    """Return ``$XDG_CACHE_HOME/mlic_mm/labels``, by default below ``~/.cache``, or None if there is no home."""
    base = Path(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'))
    return base / 'mlic_mm' / 'labels' if base.is_absolute() else None


def _state(sources: Sequence[str]) -> tuple[str, float]:
    """Return a name for the state of the files, and when the last of them changed."""
    states = [(os.path.abspath(path), os.stat(path)) for path in sources]
    facts = [(path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in states]
    name = hashlib.sha256(repr((_FORMAT, facts)).encode('utf-8', 'surrogateescape')).hexdigest()[:40]
    return name, max(max(s.st_mtime, s.st_ctime) for _, s in states)


def _load(path: Path) -> Parsed | None:
    """Return an entry, None if there is none or it is damaged."""
    try:
        raw = io.BytesIO(path.read_bytes())
    except OSError:
        return None
    try:
        with zipfile.ZipFile(raw) as archive:
            if archive.testzip() is not None:
                raise ValueError('wrong checksum')
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as arrays:
            names = arrays['names'].tobytes().decode().split('\n')
            num_classes = int(arrays['num_classes'])
            labels = np.unpackbits(arrays['labels'], axis=1, count=num_classes).view(bool)
        if labels.shape != (len(names), num_classes):
            raise ValueError(f'{len(names)} names for labels {labels.shape}')
    except Exception as error:  # damage surfaces as almost any error of zipfile and NumPy
        problem = f'{type(error).__name__}: {error}'
        print_log(f'{path}: damaged ({problem}); parsing the lists and writing it again', 'current', level=30)
        return None
    return names, labels


def _store(path: Path, names: list[str], labels: np.ndarray) -> None:
    """Write an entry. If that is not possible, log it and go on."""
    text, packed = np.frombuffer('\n'.join(names).encode(), np.uint8), np.packbits(labels, axis=1)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix='.tmp', delete=False) as file:
            temporary = file.name
            np.savez(file, names=text, labels=packed, num_classes=np.int64(labels.shape[1]))
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.remove(temporary)
        message = f'{path.parent}: parsed labels cannot be kept ({error.strerror}); XDG_CACHE_HOME moves the cache'
        print_log(message, 'current', level=30)
