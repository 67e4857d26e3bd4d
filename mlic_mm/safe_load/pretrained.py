"""Find pretrained weights, by URL or as a file, before a model is built.

mmengine downloads the weights of an ``init_cfg`` while it builds the model. Offline it stops with a bare ``URLError``.
Here the weights are found first, so the message can say what a user can do.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse, urlsplit, urlunsplit

import torch
from mmengine.model import PretrainedInit

from mlic_mm.safe_load.download import DownloadError, download, sha256_of

HOMES = ('download.openmmlab.com', 'mmassets.onedl.ai')
"""Homes of the OpenMMLab weights, with the same paths: of the original packages, and of the maintained ones."""


def resolve_pretrained(cfg: Mapping[str, Any]) -> list[Path]:
    """Make sure that every pretrained checkpoint of a config is on this machine. Download what is missing.

    Looks at every ``dict(type='Pretrained', checkpoint=...)`` below ``cfg['model']`` and at ``cfg['load_from']``.
    Files of URLs go to torch's own cache, where mmengine finds them. The config stays as it is. On a machine with
    several processes only the first one downloads; the others wait in mmengine's own barrier.

    Args:
        cfg: A complete config, before the runner is built.

    Returns:
        The files, in the order of the config. mmengine handles other schemes (``torchvision://``, ``s3://`` …).

    Raises:
        FileNotFoundError: A file is missing or a download failed. The message names the key, both ways to get the
            weights, and the option to train without them.
        ValueError: The file of a URL does not have the checksum of its name.
    """
    if int(os.environ.get('LOCAL_RANK', '0')) > 0:
        return []
    named = [*_pretrained(cfg.get('model'), 'model')]
    if cfg.get('load_from'):
        named.append(('load_from', 'load_from', str(cfg['load_from'])))
    return [file for key, switch, source in named if (file := _resolve(key, switch, source)) is not None]


def pretrained_sources(cfg: Mapping[str, Any]) -> list[str]:
    """Return the files and URLs of all pretrained checkpoints below ``cfg['model']``, each once."""
    return list(dict.fromkeys(source for _, _, source in _pretrained(cfg.get('model'), 'model')))


def cached_path(url: str) -> Path:
    """Return the path where torch and mmengine store the file of ``url``."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(url).path).name


def _pretrained(node: Any, key: str, switch: str = '') -> Iterator[tuple[str, str, str]]:
    """Yield ``(key of the checkpoint, key to set to None for training without it, checkpoint)``."""
    if isinstance(node, Mapping):
        kind = node.get('type')
        named = isinstance(kind, str) and kind.rpartition('.')[2] in ('Pretrained', 'PretrainedInit')
        if (named or kind is PretrainedInit) and isinstance(node.get('checkpoint'), str):
            yield f'{key}.checkpoint', switch or key, node['checkpoint']
        if 'backbone' in node and isinstance(node.get('pretrained'), str):  # ImageClassifier's short form
            yield f'{key}.pretrained', f'{key}.pretrained', node['pretrained']
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
        try:
            download(addresses_of(source), file, _digits(file))
            return file
        except DownloadError as error:
            reason = str(error)
    if not file.is_file():
        raise FileNotFoundError(_explain(key, switch, source, file, reason))
    if remote:
        _check_sum(key, file)
    return file


def addresses_of(url: str) -> list[str]:
    """Return ``url``, and for weights of OpenMMLab the same file at their other home."""
    parts = urlsplit(url)
    if parts.netloc not in HOMES:
        return [url]
    return [url, *(urlunsplit(parts._replace(netloc=home)) for home in HOMES if home != parts.netloc)]


def _explain(key: str, switch: str, source: str, file: Path, reason: str) -> str:
    by_hand = f'download it on a machine with network and put it at {file}, ' if source != str(file) else ''
    return (
        f'pretrained weights of {key} are missing, {source}: {reason}: {by_hand}give another file with '
        f'--cfg-options {key}=FILE, or train without them with --cfg-options {switch}=None'
    )


def _digits(file: Path) -> str:
    """Return the digits of SHA-256 at the end of a name, as OpenMMLab and torch write them; empty without any."""
    match = torch.hub.HASH_REGEX.search(file.name)
    return match.group(1) if match and len(match.group(1)) >= 8 else ''


def _check_sum(key: str, file: Path) -> None:
    digits = _digits(file)
    if not digits:
        return
    with file.open('rb') as stream:
        found = sha256_of(stream)
    if not found.startswith(digits):
        raise ValueError(
            f'{file} ({key}) is damaged: its SHA-256 begins with {found[: len(digits)]}, its name promises {digits}. '
            'Delete it and fetch it again.'
        )
