"""Show names from foreign files safely."""

import sys

import numpy as np


def plain_text(name: object) -> str:
    r"""Replace characters that cannot be printed by escapes such as ``\x1b``.

    Control characters would change the terminal, and plots and pages cannot show them. Line breaks, unusual spaces and
    halves of a character are replaced too.
    """
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in str(name))


def check_text(array: np.ndarray, name: str) -> None:
    """Refuse text with numbers beyond Unicode. Python's own functions fail on such text.

    Raises:
        ValueError: The array ``name`` has such a number.
    """
    if array.dtype.kind == 'U' and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype('u4').newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise ValueError(f'{name} holds text with the character number {codes.max()}, which there is not')
