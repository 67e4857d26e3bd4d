"""Write PNG files whose bytes depend on the pixels alone."""

import struct
import zlib

import numpy as np

_MAX_STORED = 65535


def encode_palette_png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """Return an 8-bit palette PNG of ``indices`` uint8 ``(H, W)`` and ``palette`` uint8 ``(256, 3)`` RGB.

    The pixels are stored, not compressed. Compressed bytes differ between builds of zlib, and so between releases of
    Pillow and OpenCV. Stored blocks of RFC 1951 can be written in one way only, once their size is fixed. The file has
    about ``H·W + 900`` bytes.
    """
    height, width = indices.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with its filter type, 0 = none
    rows[:, 1:] = indices
    raw = rows.tobytes()
    blocks = [raw[i : i + _MAX_STORED] for i in range(0, len(raw), _MAX_STORED)]
    stored = b''.join(
        struct.pack('<BHH', block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks
    )
    data = b'\x78\x01' + stored + struct.pack('>I', zlib.adler32(raw))
    header = struct.pack('>IIBBBBB', width, height, 8, 3, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'PLTE', palette.tobytes()), (b'IDAT', data), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
