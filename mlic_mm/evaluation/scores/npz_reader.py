"""Arrays of ``.npz`` files from strangers: no code is executed, and memory stays in proportion to the file."""

import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.plain_text import check_text

MOST_PER_BYTE, ALWAYS_FREE = 100, 2**28
"""Arrays may take 256 MiB, or this many times the size of the file if that is more."""


def check_memory(num_bytes: int, path: str | Path) -> None:
    """Refuse to take more memory than an honest file of that size needs.

    Raises:
        ValueError: The memory is too much.
    """
    if num_bytes > max(ALWAYS_FREE, MOST_PER_BYTE * Path(path).stat().st_size):
        raise ValueError(f'it asks for {num_bytes:,} bytes of memory, far more than a file of its size can hold')


def read_npz(path: Path, names: Sequence[str], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of numbers and of text.

    Args:
        path: The file.
        names: The arrays that must be in the file.
        wanted: The arrays to read.

    Raises:
        ValueError: The file is damaged, or something in it is invalid.
    """
    try:
        with path.open('rb') as file:
            if file.read(6) == np.lib.format.MAGIC_PREFIX:
                raise ValueError('it is a single array')
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            missing = [name for name in names if f'{name}.npy' not in entries]
            if missing:
                raise ValueError(f'it lacks {", ".join(missing)}')
            chosen = {name: entries[f'{name}.npy'] for name in wanted}
            check_memory(sum(info.file_size for info in chosen.values()), path)
            return {name: _read_entry(archive, info, name) for name, info in chosen.items()}
    except ValueError:
        raise
    except Exception as error:  # the parsers of zip files and of headers meet damage with whatever it leads to
        raise ValueError(f'{error}' or type(error).__name__) from error


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    if info.flag_bits & 1:
        raise ValueError(f'{name} is encrypted')
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f'{name} is compressed in a way that is not read here (number {info.compress_type})')
    with archive.open(info) as file:
        assert isinstance(file, zipfile.ZipExtFile)
        shape, fortran, dtype, start = _read_header(file)
        if dtype.kind not in 'biufUS':
            raise ValueError(f'{name} holds {dtype}, neither numbers nor text')
        count = prod(int(size) for size in shape)
        size = count * dtype.itemsize
        if size != info.file_size - start or (count and not dtype.itemsize):
            raise ValueError(f'{name} says that it has the shape {shape} of {dtype}, and has {info.file_size} bytes')
        data, filled = bytearray(size), 0
        with memoryview(data) as view:
            while filled < size and (read := file.readinto(view[filled:])):
                filled += read
        if filled < size or file.read(1):  # reading to the end also checks the sum
            raise ValueError(f'{name} ends after {filled} of {size} bytes')
    array: np.ndarray = np.ndarray(shape, dtype, data, order='F' if fortran else 'C')
    check_text(array, name)
    return array


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, order, type, and where the numbers start."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f'version {version} of the .npy format is not known here')
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except Exception as error:  # NumPy quotes the whole header
        raise ValueError(f'the header of an array cannot be read: {show(str(error))}') from error
    if any(size < 0 for size in shape):
        raise ValueError(f'shape {shape} is negative')
    return shape, fortran, dtype, file.tell()
