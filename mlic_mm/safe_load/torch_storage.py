"""Read the bytes of a tensor inside an ordinary pickle, without torch and without unpickling."""

import re
from math import prod
from typing import Any

import numpy as np

from .pickle_bounds import show

_DTYPES = {
    'Bool': '?', 'Byte': 'u1', 'Char': 'i1', 'Short': '<i2', 'Int': '<i4', 'Long': '<i8',
    'Half': '<f2', 'BFloat16': '<u2', 'Float': '<f4', 'Double': '<f8',
}  # fmt: skip
# torch.save's older format: magic number, version, the writer's number sizes (little-endian only), one storage with
# its key and place, the list of keys. It is the same with every torch and Python, so a pattern can match it.
_HEADER = re.compile(
    rb'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.\x80\x02M\xe9\x03\.'
    rb'\x80\x02}q\x00\(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endianq\x02\x88'
    rb'X\n\x00\x00\x00type_sizesq\x03}q\x04\([\x20-\x7a\x00-\x1f]{30,80}?uu\.'
    rb'\x80\x02\(X\x07\x00\x00\x00storageq\x00ctorch\n(\w{3,8})Storage\nq\x01'
    rb'X.\x00\x00\x00(\d{1,20})q\x02X.\x00\x00\x00[a-z]{2,9}(?::\d{1,3})?q\x03(?:K.|M..|J....|\x8a..{1,8})Ntq\x04Q\.'
    rb'\x80\x02\]q\x00X.\x00\x00\x00\2q\x01a\.',
    re.DOTALL,
)


def read_storage(raw: bytes) -> np.ndarray:
    """Return the numbers ``(n,)`` of one storage, a view of ``raw``. bfloat16 becomes float32, because NumPy lacks it.

    Raises:
        ValueError: The bytes are not one storage of a little-endian machine.
    """
    header = _HEADER.match(raw)
    letters = header and _DTYPES.get(header[1].decode())
    if not header or not letters:
        raise ValueError('a tensor is written in an unknown way')
    dtype = np.dtype(letters)
    count = int.from_bytes(raw[header.end() : header.end() + 8], 'little')
    start = header.end() + 8
    if len(raw) - start != count * dtype.itemsize:
        raise ValueError(f'a tensor of {count} numbers comes with {max(0, len(raw) - start)} bytes')
    numbers = np.frombuffer(raw, dtype, offset=start)
    return (numbers.astype(np.uint32) << 16).view(np.float32) if header[1] == b'BFloat16' else numbers


def view_storage(storage: np.ndarray, offset: Any, shape: Any, strides: Any) -> np.ndarray:
    """Return a read-only view of part of a storage.

    Args:
        storage: ``(n,)``, from :func:`read_storage`.
        offset: First element.
        shape: Sizes.
        strides: Strides in elements, one per size.

    Raises:
        ValueError: The view reaches beyond the storage, or is larger than the storage.
    """
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    if (
        len(numbers) > 129  # NumPy knows 64 dimensions
        or not all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        or len(shape) != len(strides)
    ):
        raise ValueError(f'a tensor of shape {show(shape)} and strides {show(strides)} is not allowed')
    size = prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if size else 0
    if size > len(storage) or (size and last >= len(storage)):
        raise ValueError(
            f'a tensor of shape {show(shape)} reaches beyond the {len(storage)} numbers that it comes with'
        )
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:] if size else storage, shape, steps, writeable=False)
