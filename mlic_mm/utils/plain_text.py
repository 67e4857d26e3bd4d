"""Names from files of others, as they may be shown."""

import sys

import numpy as np


def plain_text(name: object) -> str:
    r"""Write what cannot be printed as an escape: ``\x1b`` would steer the terminal, and no plot or page can hold it.

    Line breaks, other spaces than the ordinary one and halves of a character are such, too.
    """
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in str(name))


def check_text(array: np.ndarray, name: str) -> None:
    """Refuse text with characters that there are not, on which Python's own functions fail.

    Raises:
        ValueError: Names the array.
    """
    if array.dtype.kind == 'U' and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype('u4').newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise ValueError(f'{name} holds text with the character number {codes.max()}, which there is not')
