"""Names from files of others, as they may be shown."""

import sys

import numpy as np


def plain_text(name: object) -> str:
    r"""Replace characters that cannot be printed by escapes such as ``\x1b``.

    Control characters would change the terminal, and plots and pages cannot hold them. Line breaks, spaces other than
    the ordinary one and halves of a character are replaced as well.
    """
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in str(name))


def check_text(array: np.ndarray, name: str) -> None:
    """Refuse text with numbers that are no characters of Unicode: Python's own functions fail on them.

    Raises:
        ValueError: Names the array.
    """
    if array.dtype.kind == 'U' and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype('u4').newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise ValueError(f'{name} holds text with the character number {codes.max()}, which there is not')
