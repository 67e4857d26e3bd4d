"""Read files of ``torch.save`` as plain data, with every torch that the OpenMMLab packages run on."""

import codecs
import os
import pickle
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

__all__ = ['ALLOW_LISTS', 'read_torch_data', 'safe_globals']

FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# Allow-lists that can name a stand-in, as (object, name), came with torch 2.6.
ALLOW_LISTS = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


def _history_statistic(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, which mmengine's history buffers pickle their four statistics with."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner!r}, {name!r})')
    return getattr(owner, name)


@lru_cache
def safe_globals() -> dict[str, Any]:
    """What a checkpoint of mmengine names besides tensors: history buffers over NumPy arrays and scalars."""
    core = import_module('numpy._core.multiarray' if hasattr(np, '_core') else 'numpy.core.multiarray')
    dtypes = [type(np.dtype(name)) for name in ('bool', 'int32', 'uint32', 'int64', 'uint8', 'float32', 'float64')]
    # The last four are in torch's own list since 2.4; schedules keep their milestones in a Counter.
    kinds = (HistoryBuffer, np.ndarray, np.dtype, *dtypes, Counter, set, bytearray, complex)
    allowed: dict[str, Any] = {f'{kind.__module__}.{kind.__qualname__}': kind for kind in kinds}
    allowed |= {'builtins.getattr': _history_statistic, '_codecs.encode': codecs.encode}  # the latter for bytes
    # The module was renamed in NumPy 2; a checkpoint written under either is read under either.
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        allowed |= {f'{module}._reconstruct': core._reconstruct, f'{module}.scalar': core.scalar}
    return allowed


def read_torch_data(path: Path, map_location: Any, mmap: bool, allow_lists: bool = ALLOW_LISTS) -> Any:
    """Read a file of ``torch.save``; what is not plain data is refused before it is called.

    Args:
        path (Path): File in torch's zip format or the one before it.
        map_location (Any): As for ``torch.load``.
        mmap (bool): Leave tensors on disk until they are used, where torch can.
        allow_lists (bool): Use torch's own restricted unpickler, which before 2.6 cannot be taught mmengine's types.

    Raises:
        pickle.UnpicklingError: With ``GLOBAL <name>`` in its message for what was refused.
    """
    with warnings.catch_warnings():
        # torch warns of TorchScript and old pickles before it refuses them.
        warnings.simplefilter('ignore')
        if allow_lists:
            with torch.serialization.safe_globals([(value, name) for name, value in safe_globals().items()]):
                return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith('/constants.pkl') for name in archive.namelist()):
                    raise pickle.UnpicklingError('TorchScript archive')
        # The restriction is in our unpickler, which torch takes only while it does not insist on its own.
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
