"""Download files from several addresses, resume them, and check them."""

import hashlib
import os
import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from torch.hub import READ_DATA_CHUNK, tqdm

from mlic_mm.utils.folder_lock import lock_folder

__all__ = ['DownloadError', 'download', 'sha256_of']

TIMEOUT_S = 30.0
"""Timeout of a connection and of each read. Without it, a silent firewall would hang for minutes."""


class DownloadError(OSError):
    """The file cannot be downloaded; the message has the reason of each address."""


def download(addresses: Sequence[str], file: Path, digits: str = '') -> None:
    """Download a file from the first address that has it. The file gets its name when it is complete.

    A file whose SHA-256 is known is resumed: after a cut, the first part stays beside it as ``<name>.part`` for the
    next attempt, the next address or the next call. If the sum is wrong then, the file is downloaded again, once.
    Processes wait for each other.

    Args:
        addresses: URLs of the same file.
        file: The file to write; its folder is made.
        digits: The SHA-256, or its first digits.

    Raises:
        DownloadError: No address has the file with this sum, or it cannot be written.
    """
    reasons = []
    try:
        with lock_folder(file.parent, '.mlic_mm-download.lock', wait=True):
            for address in addresses:
                if file.exists():  # another process has downloaded it meanwhile
                    return
                try:
                    _fetch(address, file, digits)
                    return
                except (OSError, HTTPException) as error:
                    reasons.append(f'{address}: {error or type(error).__name__}')
    except OSError as error:
        reasons.append(str(error))
    raise DownloadError('; '.join(reasons))


def sha256_of(stream: BinaryIO) -> str:
    """Return the SHA-256 of the rest of a stream."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _fetch(address: str, file: Path, digits: str) -> None:
    part = file.with_name(f'{file.name}.part')
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
    with os.fdopen(descriptor, 'r+b') as stream:
        try:
            resumed = bool(digits) and part.stat().st_size > 0
            _receive_all(address, stream, digits)
            if resumed and not _has_sum(stream, digits):  # of two files, or damaged before
                stream.truncate(0)
                _receive_all(address, stream, digits)
            if not _has_sum(stream, digits):
                stream.truncate(0)
                raise DownloadError(f'its SHA-256 is not the one that its name promises, {digits}')
            os.fsync(stream.fileno())
        except BaseException:
            if not digits or not stream.seek(0, os.SEEK_END):
                part.unlink(missing_ok=True)
            raise
    os.replace(part, file)


def _has_sum(stream: BinaryIO, digits: str) -> bool:
    stream.seek(0)
    return not digits or sha256_of(stream).startswith(digits)


def _receive_all(address: str, stream: BinaryIO, digits: str) -> None:
    """Receive until the end. If the connection breaks, go on from there as long as new bytes come."""
    while True:
        start = stream.seek(0, os.SEEK_END) if digits else 0
        try:
            if _receive(address, stream, start) or _has_sum(stream, digits):
                return
            raise ConnectionError(f'the connection ended after {stream.tell()} bytes, whose SHA-256 is not {digits}')
        except (OSError, HTTPException) as error:
            if not digits or isinstance(error, HTTPError) or stream.seek(0, os.SEEK_END) <= start:
                raise


def _receive(address: str, stream: BinaryIO, start: int) -> bool:
    """Receive until the connection ends. Return whether the server stated the length."""
    headers = {'User-Agent': 'torch.hub'} | ({'Range': f'bytes={start}-'} if start else {})
    try:
        response: Any = urlopen(Request(address, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send; the checksum shows whether that is right
            return True
        raise
    with response:
        encoding = response.headers['Content-Encoding'] or 'identity'
        if encoding != 'identity' or response.headers.get_content_type() == 'text/html':
            what = 'a web page' if encoding == 'identity' else f'a packed file ({encoding})'
            raise DownloadError(f'the server sends {what} in place of the file')
        if response.status != 206 or not str(response.headers['Content-Range']).startswith(f'bytes {start}-'):
            start = 0  # the server sends all of it
        stream.seek(start)
        stream.truncate()
        length = str(response.headers['Content-Length'])
        total = start + int(length) if length.isascii() and length.isdigit() else None
        print(f'{"going on with" if start else "downloading"} {address}', file=sys.stderr)
        with tqdm(total=total, unit='B', unit_scale=True, unit_divisor=1024, disable=not sys.stderr.isatty()) as bar:
            bar.update(start)
            while block := response.read(READ_DATA_CHUNK):
                stream.write(block)
                bar.update(len(block))
        # http.client takes a cut connection for the end.
        if total is not None and stream.tell() < total:
            raise ConnectionError(f'the connection was cut after {stream.tell()} of {total} bytes')
        if not stream.tell():
            raise DownloadError('the server sent an empty file')
    return total is not None
