"""The text files of NUS-WIDE as arrays: image lists, one file of flags for each concept, and ``path + 81 flags``.

Each parser takes the bytes of a file, and its path for messages. Files in the published form are checked and read as
arrays of bytes. Only lines that look different are read one by one, to accept them or to name them.
"""

import numpy as np

from mlic_mm.utils.utf8 import decode_utf8

_WORDS = (
    'airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer coral cow '
    'dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor horses house lake '
    'leaf map military moon mountain nighttime ocean person plane plants police protest railroad rainbow reflection '
    'road rocks running sand sign sky snow soccer sports statue street sun sunset surf swimmers tattoo temple tiger '
    'tower town toy train tree valley vehicle water waterfall wedding whales window zebra'
)
CONCEPTS = tuple(_WORDS.split())
"""The 81 concepts in the order of ``ConceptsList/Concepts81.txt``, which is alphabetical."""

_FORM = f'a path and {len(CONCEPTS)} flags 0 or 1, separated by spaces'
_SPACE, _NEWLINE, _ONE = b' \n1'


def parse_names(raw: bytes, path: str) -> list[str]:
    r"""Return the entries of an image list with ``/`` as separator.

    Args:
        raw: One image a line, with separators and line ends of any system.
        path: The file, for messages.

    Raises:
        ValueError: The list is empty, not UTF-8, or an entry is blank or appears twice.
    """
    _check_not_empty(raw, path)
    text = decode_utf8(raw, path)
    names = [name.strip() for name in text.replace('\\', '/').rstrip().split('\n')]
    first: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name:
            raise ValueError(f'{path}:{line}: the path is blank; remove the line, or get the file again')
        if name in first:
            raise ValueError(f'{path}:{line}: {name!r} is already on line {first[name]}; remove one of the two')
        first[name] = line
    return names


def parse_flags(raw: bytes, path: str, expected: int, image_list: str) -> np.ndarray:
    """Return the flags of one concept, bool ``(expected,)``.

    Args:
        raw: A flag 0 or 1 a line.
        path: The file, for messages.
        expected: Number of images.
        image_list: The file that lists the images, for messages.

    Raises:
        ValueError: A line is no flag, or the number of lines differs from the number of images.
    """
    text = np.frombuffer(raw.replace(b'\r', b'').rstrip() + b'\n', np.uint8)
    if len(text) == 2 * expected and (text[1::2] == _NEWLINE).all() and (text[::2] | 1 == _ONE).all():
        return text[::2] == _ONE
    rows = [row.strip() for row in raw.rstrip().split(b'\n')]
    for line, row in enumerate(rows, 1):
        if row not in (b'0', b'1'):
            raise ValueError(f'{path}:{line}: {_shown(row)} is no flag; write 0 (absent) or 1 (present)')
    if len(rows) != expected:
        raise ValueError(
            f'{path}: {len(rows)} lines for the {expected} images of {image_list}; take both from the same archive'
        )
    return np.array([row == b'1' for row in rows])


def parse_list(raw: bytes, path: str) -> tuple[list[str], np.ndarray]:
    """Return entries and labels, bool ``(N, 81)``, of a file with a path and 81 flags a line.

    Paths may contain spaces.

    Raises:
        ValueError: A line has more or fewer flags, or another value than 0 and 1, or :func:`parse_names` refuses it.
    """
    _check_not_empty(raw, path)
    width = 2 * len(CONCEPTS)  # ' 0 1 … 0' at the end of a line
    lines = [line.rstrip() for line in raw.rstrip().split(b'\n')]
    ends = b''.join([line[-width:].rjust(width) for line in lines])
    text = np.frombuffer(ends, np.uint8).reshape(len(lines), width)
    labels = text[:, 1::2] == _ONE
    names = [line[:-width] for line in lines]
    for i in np.flatnonzero(~((text[:, ::2] == _SPACE) & (text[:, 1::2] | 1 == _ONE)).all(1)).tolist():
        names[i], labels[i] = _split_line(lines[i], f'{path}:{i + 1}')
    for i, name in enumerate(names):
        if name[-2:] in (b' 0', b' 1', b'\t0', b'\t1'):
            raise ValueError(f'{path}:{i + 1}: {len(lines[i].split()) - 1} flags; expected {_FORM}')
    return parse_names(b'\n'.join(names), path), labels


def _check_not_empty(raw: bytes, path: str) -> None:
    if not raw.strip():
        raise ValueError(f'{path}: the file is empty; expected a line per image')


def _split_line(line: bytes, place: str) -> tuple[bytes, np.ndarray]:
    """Read a line that has tabs, several spaces, or a mistake."""
    name, *flags = line.rsplit(None, len(CONCEPTS)) or [b'']
    if len(flags) < len(CONCEPTS):
        raise ValueError(f'{place}: {len(flags)} flags in {_shown(line)}; expected {_FORM}')
    for k, flag in enumerate(flags):
        if flag not in (b'0', b'1'):
            raise ValueError(f'{place}: flag {k + 1} ({CONCEPTS[k]}) is {_shown(flag)}; expected {_FORM}')
    return name, np.array([flag == b'1' for flag in flags])


def _shown(raw: bytes) -> str:
    """Return the beginning of a line for a message."""
    return repr(raw[:60].decode('utf-8', 'replace')) + (' …' if len(raw) > 60 else '')
