"""Pretrained weights: by URL where the network allows, by file otherwise.

mmengine downloads the weights of an ``init_cfg`` in the middle of building the model, and offline ends in a bare
``URLError``. Looking for them before anything is built lets the message say what a user can do.
"""

import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

TIMEOUT_S = 30.0


def resolve_pretrained(cfg: Mapping[str, Any]) -> list[Path]:
    """Make sure that every pretrained checkpoint named in a config is on this machine, downloading what is missing.

    Looks at every ``dict(type='Pretrained', checkpoint=...)`` below ``cfg['model']`` and at ``cfg['load_from']``.
    URLs go to torch's own cache, where mmengine finds them by itself; the config stays as it is. On a machine with
    several processes only the first downloads; the others wait in mmengine's own barrier.

    Args:
        cfg: A whole config, before the Runner is built.

    Returns:
        The files, in the order of the config; other schemes (``torchvision://``, ``s3://`` …) are left to mmengine.

    Raises:
        FileNotFoundError: A file is missing or a download failed; names the key, both ways to get the weights and
            the option to train without them.
        ValueError: The file of a URL does not match the checksum in its name.
    """
    if int(os.environ.get('LOCAL_RANK', '0')) > 0:
        return []
    named = [*_pretrained(cfg.get('model'), 'model')]
    if cfg.get('load_from'):
        named.append(('load_from', 'load_from', str(cfg['load_from'])))
    return [file for key, switch, source in named if (file := _resolve(key, switch, source)) is not None]


def pretrained_sources(cfg: Mapping[str, Any]) -> list[str]:
    """Return the files and URLs of every pretrained checkpoint below ``cfg['model']``, each once."""
    return list(dict.fromkeys(source for _, _, source in _pretrained(cfg.get('model'), 'model')))


def cached_path(url: str) -> Path:
    """Where torch and mmengine keep the file of ``url``."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(url).path).name


def _pretrained(node: Any, key: str, switch: str = '') -> Iterator[tuple[str, str, str]]:
    """Yield ``(key of the checkpoint, key that set to None drops it, checkpoint)``."""
    if isinstance(node, Mapping):
        kind = node.get('type')
        if (
            isinstance(kind, str)
            and kind.rpartition('.')[2] == 'Pretrained'
            and isinstance(node.get('checkpoint'), str)
        ):
            yield f'{key}.checkpoint', switch or key, node['checkpoint']
        for name, child in node.items():
            yield from _pretrained(child, f'{key}.{name}')
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            # A list of initialisers is dropped as a whole: --cfg-options cannot remove one of its items.
            yield from _pretrained(child, f'{key}.{index}', switch=key)


def _resolve(key: str, switch: str, source: str) -> Path | None:
    scheme = urlparse(source).scheme
    remote = scheme in ('http', 'https')
    if '://' in source and not remote:
        return None
    file = cached_path(source) if remote else Path(source).expanduser()
    reason = 'there is no such file'
    if remote and not file.exists():
        reason = _download(source, file)
    if not file.is_file():
        raise FileNotFoundError(_explain(key, switch, source, file, reason))
    if remote:
        _check_sum(key, file)
    return file


def _download(url: str, file: Path) -> str:
    """Fetch ``url`` to ``file``, complete or not at all; returns why that failed, else an empty string."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none, and a silent firewall would hang the start for minutes
    try:
        torch.hub.download_url_to_file(url, str(file))
    except OSError as error:  # URLError, HTTPError and time-outs are all OSErrors
        return f'the download failed: {error}'
    finally:
        socket.setdefaulttimeout(before)
    return ''


def _explain(key: str, switch: str, source: str, file: Path, reason: str) -> str:
    lines = [f'Pretrained weights of {key} are not to be had, {reason}: {source}']
    if source != str(file):
        lines.append(f'  by URL:  download {source} on a machine with network and put it at {file}')
    lines.append(f'  by file: --cfg-options {key}=FILE')
    lines.append(f'  without: --cfg-options {switch}=None')
    return '\n'.join(lines)


def _check_sum(key: str, file: Path) -> None:
    """Compare with the digits of SHA-256 that OpenMMLab and torch put at the end of a name, where there are any."""
    match = torch.hub.HASH_REGEX.search(file.name)
    prefix = match.group(1) if match else ''
    if len(prefix) < 8:
        return
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    found = digest.hexdigest()
    if not found.startswith(prefix):
        raise ValueError(
            f'{file} ({key}) is damaged: its SHA-256 begins with {found[: len(prefix)]}, its name promises {prefix}. '
            'Delete it and fetch it again.'
        )
