"""Read files of ``torch.save`` as plain data, with every version of torch that the OpenMMLab packages support."""

import mmap
import os
import pickle
import pickletools
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

from .pickle_bounds import PickleBombError, check_bounds

__all__ = ['ALLOW_LISTS', 'read_torch_data', 'safe_globals']

FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# Allow-lists that can name a stand-in, as (object, name), came with torch 2.6.
ALLOW_LISTS = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


def _history_statistic(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``. mmengine's history buffers pickle their four statistics with it."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


@lru_cache
def safe_globals() -> dict[str, Any]:
    """Return what checkpoints of mmengine name besides tensors: history buffers of NumPy arrays and scalars."""
    core = import_module('numpy._core.multiarray' if hasattr(np, '_core') else 'numpy.core.multiarray')
    dtypes = [type(np.dtype(name)) for name in ('bool', 'int32', 'uint32', 'int64', 'uint8', 'float32', 'float64')]
    # The last three are in torch's own list since 2.4; schedules keep their milestones in a Counter.
    kinds = (HistoryBuffer, np.ndarray, np.dtype, *dtypes, Counter, set, complex)
    allowed: dict[str, Any] = {f'{kind.__module__}.{kind.__qualname__}': kind for kind in kinds}
    allowed |= {'builtins.getattr': _history_statistic, 'builtins.bytearray': _bytearray, '_codecs.encode': _encode}
    # The module was renamed in NumPy 2; a checkpoint written under either is read under either.
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        allowed |= {f'{module}._reconstruct': core._reconstruct, f'{module}.scalar': _scalar}
    return allowed


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``codecs.encode``. Pickles before protocol 3 write bytes with it."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError('bytes are written in an unknown way')
    return text.encode('latin-1')


def _bytearray(*content: Any) -> bytearray:
    """Stand in for ``bytearray``, which would take a number for a size."""
    if content and not isinstance(content[0], (str, bytes)):
        raise pickle.UnpicklingError('it creates an array in an unknown way')
    return bytearray(*content)


def _scalar(dtype: np.dtype, raw: bytes) -> Any:
    """Stand in for NumPy's function, which makes a number of any size if it gets no bytes."""
    return np.frombuffer(raw, dtype, 1)[0]


def _check_bounds(path: Path) -> None:
    """Check the pickles in a file of ``torch.save`` before torch reads them.

    Raises:
        PickleBombError: A pickle would need time or memory out of proportion to its size.
        ValueError: A pickle is damaged.
    """
    with suppress(IndexError, KeyError, AttributeError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if entry.filename.rpartition('/')[2] != 'data.pkl':
                        continue
                    if entry.file_size > 2**20 + 100 * entry.compress_size:
                        raise PickleBombError(f'{entry.filename} is packed more than 100 times')
                    with archive.open(entry) as file:
                        check_bounds(pickletools.genops(file.read()))
            return
        # A mapped file gives at most its own bytes, even if a wrong length asks for more.
        with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _ in range(5):  # magic number, version, sizes of numbers, the object, names of storages
                check_bounds(pickletools.genops(data))  # type: ignore[arg-type]  # it reads as a file does


def read_torch_data(path: Path, map_location: Any, map_file: bool, allow_lists: bool = ALLOW_LISTS) -> Any:
    """Read a file of ``torch.save``. Refuse everything but plain data before it is called.

    Args:
        path: File in torch's zip format or the one before it.
        map_location: As for ``torch.load``.
        map_file: Leave tensors on disk until they are used, if torch can.
        allow_lists: Use torch's own restricted unpickler. Before torch 2.6 it cannot learn mmengine's types.

    Raises:
        pickle.UnpicklingError: Something was refused; the message has ``GLOBAL <name>``. Or, as its subclass
            :class:`PickleBombError`, the file would need time or memory without end.
    """
    try:
        _check_bounds(path)
    except ValueError as error:
        # A reader may allocate the stated length. For other damage, torch has better messages.
        if 'remain' in str(error):
            raise pickle.UnpicklingError(f'a length in it reaches beyond its end: {error}') from error
    with warnings.catch_warnings():
        # torch warns about TorchScript and old pickles before it refuses them.
        warnings.simplefilter('ignore')
        if allow_lists:
            with torch.serialization.safe_globals([(value, name) for name, value in safe_globals().items()]):
                return torch.load(path, map_location=map_location, weights_only=True, mmap=map_file)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith('/constants.pkl') for name in archive.namelist()):
                    raise pickle.UnpicklingError('TorchScript archive')
        # Our unpickler has the restriction. torch takes it only if it is not forced to use its own.
        forced = os.environ.pop(FORCE, None)
        try:
            return torch.load(path, map_location=map_location, weights_only=False, pickle_module=_restricted_pickle())
        finally:
            if forced is not None:
                os.environ[FORCE] = forced


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == '__builtin__':
            module = 'builtins'
        full = f'{module}.{name}'
        for allowed in (safe_globals(), torch._weights_only_unpickler._get_allowed_globals()):
            if full in allowed:
                return allowed[full]
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {full} is not plain data')


def _restricted_pickle() -> ModuleType:
    module = ModuleType('restricted_pickle')
    vars(module).update(Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load())
    return module
