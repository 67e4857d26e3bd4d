"""Read pickles of arrays and tensors of other codebases without executing them.

Python's unpickler calls every callable that a file names. This reader gives a stand-in for each name. The stand-ins
can only describe a numeric array, tensor or scalar. The opcodes are checked before anything is built. A hostile file
can neither run code nor take time or memory out of proportion to its size.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .pickle_bounds import check_bounds, show
from .torch_storage import read_storage, view_storage

_CURE = 'nothing in it was executed; if you trust its author, ask for the arrays as .npz'
# Numbers and text of fixed size only: no objects, records, dates or platform-dependent floats.
_DIMENSIONS = 64
_DTYPE = re.compile(r'b1|i[1248]|u[1248]|f[248]|c8|c16|[SU]\d{1,6}|\?')
# fmt: off
_OPCODES = frozenset({
    'PROTO', 'FRAME', 'STOP', 'MARK', 'POP', 'POP_MARK', 'DUP', 'NONE', 'NEWTRUE', 'NEWFALSE', 'INT', 'BININT',
    'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING',
    'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE',
    'BINUNICODE8', 'EMPTY_LIST', 'LIST', 'APPEND', 'APPENDS', 'EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3',
    'EMPTY_DICT', 'DICT', 'SETITEM', 'SETITEMS', 'GET', 'BINGET', 'LONG_BINGET', 'PUT', 'BINPUT', 'LONG_BINPUT',
    'MEMOIZE', 'GLOBAL', 'STACK_GLOBAL', 'REDUCE', 'BUILD',
})
# fmt: on


def load_pickle(path: str | Path) -> Any:
    """Read a pickle of arrays, torch tensors, dicts, lists, tuples, strings, bytes, numbers, bools and ``None``.

    Pickles of Python 2 (protocol 2, such as ML-GCN's) are read with latin-1 strings. Arrays come back in the machine's
    byte order, numpy scalars as Python numbers, tensors as arrays (bfloat16 as float32).

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds anything else, or is damaged. Nothing in it was executed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'pickle {path} not found')
    data = path.read_bytes()
    if data.startswith(b'PK\x03\x04'):
        raise ValueError(f'{path} is a zip archive (.npz or a PyTorch file), not a pickle')
    try:
        _check_opcodes(data)
        return _plain(_Reader(data).load(), {}, set())
    except (
        pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, RecursionError,
        OverflowError, MemoryError,
    ) as error:  # fmt: skip
        reason = str(error)
        raise ValueError(f'{path} was refused: {reason[:300]}{"…" * (len(reason) > 300)}; {_CURE}') from error


def _check_opcodes(data: bytes) -> None:
    """Check the opcodes without building anything, so that a wrong length or memo index allocates nothing."""

    def allowed() -> Iterator[tuple[Any, Any, int | None]]:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name not in _OPCODES:
                raise pickle.UnpicklingError(f'opcode {opcode.name} is not needed for arrays and is not allowed')
            if opcode.name in ('PUT', 'LONG_BINPUT') and (argument or 0) > len(data):
                raise pickle.UnpicklingError(f'memo index {argument} exceeds the size of the file')
            yield opcode, argument, position

    end = check_bounds(allowed())
    if end != len(data):
        raise pickle.UnpicklingError(f'{len(data) - end} bytes follow its end (a PyTorch file, or several pickles)')


class _Callable:
    """Stand-in for a function. It can be called, and has no attribute that BUILD could reach."""

    __slots__ = ('_make',)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('it sets the state of a function')


class _DType:
    __slots__ = ('dtype',)

    def __init__(self, name: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise pickle.UnpicklingError(f'arrays of dtype {show(name)} are not allowed')
        self.dtype = np.dtype(name)
        if self.dtype.itemsize == 0:
            raise pickle.UnpicklingError('arrays of empty strings are not allowed')

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, subarray, field names, fields, item size, alignment, flags[, metadata])
        if not isinstance(state, tuple) or len(state) not in (8, 9) or state[1] not in tuple('<>=|'):
            raise pickle.UnpicklingError('a dtype is described in an unknown way')
        if any(part is not None for part in (*state[2:5], *state[8:])):
            raise pickle.UnpicklingError('arrays of records are not allowed')
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    __slots__ = ('_reader', 'value')

    def __init__(self, reader: '_Reader') -> None:
        self._reader = reader
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, raw = state
        if version != 1:
            raise pickle.UnpicklingError(f'array state of version {show(version)} is not known')
        self.fill(raw, dtype, shape, 'F' if fortran else 'C')

    def fill(self, raw: Any, dtype: Any, shape: Any, order: Any) -> None:
        if isinstance(raw, str):
            raw = self._reader.encode(raw, 'latin1')  # Python 2 knew no bytes
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes | bytearray) or order not in ('C', 'F'):
            raise pickle.UnpicklingError('an array is described in an unknown way (object arrays are not allowed)')
        sizes = shape if isinstance(shape, tuple) and len(shape) <= _DIMENSIONS else (None,)
        if not all(type(size) is int and 0 <= size < 2**63 for size in sizes):
            raise pickle.UnpicklingError(f'array shape {show(shape)} is not allowed')
        if prod(shape) * dtype.dtype.itemsize != len(raw):
            raise pickle.UnpicklingError(f'an array of shape {shape} {dtype.dtype} comes with {len(raw)} bytes')
        self._reader.spend(len(raw))
        value = np.frombuffer(raw, dtype.dtype).reshape(shape, order=order)
        self.value = value.astype(dtype.dtype.newbyteorder('='))


class _Storage:
    """Numbers of a tensor. The tensor is a view of them."""

    __slots__ = ('value',)

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('it sets the state of a storage')


class _Hooks:
    """Empty dictionary of hooks, which torch writes with a tensor. Nothing can be added to it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('it sets the state of hooks')


class _Reader(pickle.Unpickler):
    """Unpickler that knows a few stand-ins for NumPy's and torch's functions, and nothing else."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding='latin1')
        # An honest file holds the bytes of each array once. To copy an array a million times is an attack.
        # bfloat16 takes twice its bytes, as storage and as array.
        self._budget = 5 * len(data)
        self._ndarray = _Callable(self._refuse)
        self._names = {
            ('numpy', 'ndarray'): self._ndarray,
            ('numpy', 'dtype'): _Callable(_DType),
            ('_codecs', 'encode'): _Callable(self.encode),
            ('collections', 'OrderedDict'): _Callable(_Hooks),
            ('torch.storage', '_load_from_bytes'): _Callable(self._storage),
            ('torch._utils', '_rebuild_tensor_v2'): _Callable(self._tensor),
        }
        for builtins in ('builtins', '__builtin__'):
            self._names[builtins, 'complex'] = _Callable(complex)
            self._names[builtins, 'bytes'] = _Callable(lambda: b'')  # an empty one, in protocol 2
        for core in ('numpy.core', 'numpy._core'):
            self._names[f'{core}.multiarray', '_reconstruct'] = _Callable(self._reconstruct)
            self._names[f'{core}.multiarray', 'scalar'] = _Callable(self._scalar)
            self._names[f'{core}.numeric', '_frombuffer'] = _Callable(self._from_buffer)

    def find_class(self, module: str, name: str) -> _Callable:
        found = self._names.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f'it asks for {module[:80]}.{name[:80]}, which is not data')
        return found

    def spend(self, num_bytes: int) -> None:
        self._budget -= num_bytes
        if self._budget < 0:
            raise pickle.UnpicklingError('its arrays take more memory than the file has bytes')

    def encode(self, text: Any, encoding: Any) -> bytes:
        """Stand in for ``codecs.encode``: Python 3 writes bytes so into a pickle of protocol 2."""
        if not isinstance(text, str) or encoding != 'latin1':
            raise pickle.UnpicklingError('bytes are written in an unknown way')
        self.spend(len(text))
        return text.encode('latin1')

    def _reconstruct(self, kind: Any, shape: Any, letter: Any) -> _Array:
        if kind is not self._ndarray:
            raise pickle.UnpicklingError('only plain numpy arrays are allowed')
        return _Array(self)

    def _from_buffer(self, raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array(self)
        array.fill(raw, dtype, shape, order)
        return array

    def _storage(self, raw: Any) -> _Storage:
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError('a tensor is written in an unknown way')
        value = read_storage(raw)
        if value.base is None or value.nbytes > len(raw):  # not a view of the file's bytes
            self.spend(value.nbytes)
        return _Storage(value)

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any, hooks: Any, metadata: Any = None
    ) -> _Array:
        if not isinstance(storage, _Storage) or not isinstance(hooks, _Hooks) or metadata:
            raise pickle.UnpicklingError('a tensor is described in an unknown way')
        view = view_storage(storage.value, offset, shape, strides)
        self.spend(view.nbytes)
        array = _Array(self)
        array.value = view.astype(view.dtype.newbyteorder('='))
        return array

    def _scalar(self, dtype: Any, raw: Any) -> Any:
        value = self._from_buffer(raw, dtype, (), 'C').value
        assert value is not None
        return value.item()

    def _refuse(self, *args: Any) -> None:
        raise pickle.UnpicklingError('it creates an array in an unknown way')


def _plain(value: Any, done: dict[int, Any], active: set[int]) -> Any:
    """Return ``value`` with arrays in place of the stand-ins.

    Args:
        value: What the reader built.
        done: Results by ``id``. Shared parts stay shared, and are visited once.
        active: Containers that are being visited, to find one that holds itself.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    key = id(value)  # unique: the reader's objects outlive the walk
    if key in done:
        return done[key]
    if key in active:
        raise pickle.UnpicklingError('a container holds itself')
    active.add(key)
    result: Any
    if type(value) is bytearray:
        result = bytes(value)
    elif type(value) in (list, tuple):
        result = type(value)([_plain(item, done, active) for item in value])
    elif type(value) is dict:
        wrong = next((name for name in value if not _is_plain_key(name)), None)
        if wrong is not None:
            raise pickle.UnpicklingError(f'a dictionary has a {type(wrong).__name__.strip("_")} as a key')
        result = {name: _plain(item, done, active) for name, item in value.items()}
    elif type(value) is _Array and value.value is not None:
        result = value.value
    else:
        raise pickle.UnpicklingError(f'it holds a {type(value).__name__.strip("_")} that is not data')
    active.remove(key)
    done[key] = result
    return result


def _is_plain_key(key: Any) -> bool:
    """Return whether a key is a number, a text, or a tuple of these."""
    parts = key if type(key) is tuple else (key,)
    return all(part is None or type(part) in (bool, int, float, str, bytes) for part in parts)
