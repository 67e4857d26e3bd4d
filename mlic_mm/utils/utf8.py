"""Text files of users, which may be in another encoding."""

from pathlib import Path

__all__ = ['decode_utf8']


def decode_utf8(raw: bytes, path: str | Path) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Args:
        raw: The content of a file.
        path: The file, for messages.

    Raises:
        ValueError: The content is not UTF-8. The message names file, line, byte and cure.

    Example:
        >>> decode_utf8('cat\\nhünd'.encode('latin-1'), 'names.txt')
        Traceback (most recent call last):
        ValueError: names.txt:2: byte 0xfc is not UTF-8; save the file as UTF-8, for example with `iconv -f WINDOWS-1252
        -t UTF-8`
    """
    try:
        return raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = raw.count(b'\n', 0, error.start) + 1
        encoding = 'UTF-16' if raw[:2] in (b'\xff\xfe', b'\xfe\xff') else 'WINDOWS-1252'
        raise ValueError(
            f'{path}:{line}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8, for example with '
            f'`iconv -f {encoding} -t UTF-8`'
        ) from None
