"""Read checkpoints as plain data, and say what is wrong with a bad one."""

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import load_file
from torch import Tensor

from .torch_data import ALLOW_LISTS, read_torch_data, safe_globals

__all__ = [
    'CheckpointError',
    'DamagedCheckpointError',
    'UnsafeCheckpointError',
    'find_resumable',
    'forbid_code_in_checkpoints',
    'load_checkpoint',
    'plain_data_only',
]

WEIGHTS = ('model', 'model_state_dict', 'module', 'net', 'network', 'weights', 'params', 'ema', 'model_ema')
"""Names under which other programs store the weights."""


class CheckpointError(ValueError):
    """The checkpoint cannot be used; the message names the file and the cure."""


class DamagedCheckpointError(CheckpointError):
    """The checkpoint is empty, cut short, or no checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """The checkpoint holds more than plain data. It could run code if it were unpickled."""


def forbid_code_in_checkpoints() -> None:
    """Load checkpoints as plain data or not at all, in this process and in processes that it starts.

    If a safe load fails, mmengine executes the pickle and only warns. Tools call this function first. Then
    ``--resume``, ``load_from``, ``init_cfg=dict(type='Pretrained')`` and test refuse such a file. ``import mlic_mm``
    does not call it, because it changes the whole process.
    """
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    if ALLOW_LISTS:  # for files that mmengine loads by URL
        torch.serialization.add_safe_globals([(value, name) for name, value in safe_globals().items()])
    CheckpointLoader.register_scheme(prefixes='', loader=load_checkpoint, force=True)


@contextmanager
def plain_data_only() -> Iterator[None]:
    """Forbid code in checkpoints within a block, or in a function that this decorates; see above.

    A job called from Python leaves the process as it was.
    """
    names = ('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    before, loaders = {name: os.environ.get(name) for name in names}, dict(CheckpointLoader._schemes)
    forbid_code_in_checkpoints()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        CheckpointLoader._schemes = loaders


def load_checkpoint(filename: str | Path, map_location: Any = 'cpu', *, mmap: bool = False) -> dict[str, Any]:
    """Read a local checkpoint as plain data: tensors, arrays, numbers, strings and containers of them.

    Args:
        filename: A file written by ``torch.save``, or ``.safetensors``.
        map_location: As for ``torch.load``.
        mmap: Leave tensors on disk until they are used. This is a quick way to look at the rest.

    Returns:
        The content of the file. The weights are always under ``state_dict``, even if the file has only weights or has
        them under another usual name such as ``model``.

    Raises:
        FileNotFoundError: There is no such file; the message lists checkpoints near it.
        DamagedCheckpointError: The file is empty, cut short or no checkpoint.
        UnsafeCheckpointError: The file holds more than plain data; nothing of it was executed.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint {path}: {_what_exists(path)}')
    if path.suffix == '.safetensors':
        return {'state_dict': _read_safetensors(path)}
    zipped = zipfile.is_zipfile(path)
    if zipped and not mmap:
        _check_sums(path)
    if not zipped and (path.stat().st_size == 0 or path.read_bytes()[:2] == b'PK'):
        raise DamagedCheckpointError(_damaged(path, f'is cut short at {path.stat().st_size:,} bytes'))
    try:
        checkpoint = read_torch_data(path, map_location, mmap and zipped)
    except (OSError, MemoryError):
        raise  # of the machine, not of the file
    except Exception as error:  # a damaged pickle can raise almost any error
        found = re.search(r'(?:GLOBAL|reduce for unrecognized function) (getattr\(.*?\)|\S*)|(TorchScript)', str(error))
        if found:
            raise UnsafeCheckpointError(
                f'checkpoint {path} carries {found[1] or found[2]!r}, which is not plain data: it was refused and '
                'nothing of it was executed. If you trust its author, ask for the weights alone: '
                "torch.save({'state_dict': model.state_dict()}, path)"
            ) from None
        plain = 'Weights only load failed' in str(error)  # the rest of the message advises to switch the protection off
        reason = 'not as torch.save writes it' if plain else f'{type(error).__name__}: {error}'.splitlines()[0][:120]
        raise DamagedCheckpointError(_damaged(path, f'cannot be read ({reason})')) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'checkpoint {path} holds a {type(checkpoint).__name__}, not a dict of weights')
    if isinstance(checkpoint.get('meta'), dict):
        # mmengine's resume executes this string as a Python config to compare numbers of GPUs; it writes 'cfg' itself.
        checkpoint['meta'].pop('config', None)
    return _with_state_dict(checkpoint)


def _check_sums(path: Path) -> None:
    """Compare the content of a file of ``torch.save`` with its checksums. torch does not compare them."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, zlib.error) as error:
        raise DamagedCheckpointError(_damaged(path, f'cannot be read ({error})')) from None
    if wrong is not None:
        raise DamagedCheckpointError(_damaged(path, f'does not have the checksum that it was saved with ({wrong})'))


def _with_state_dict(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Put the weights under ``state_dict``."""
    if isinstance(checkpoint.get('state_dict'), dict):
        return checkpoint
    if checkpoint and all(isinstance(value, Tensor) for value in checkpoint.values()):
        return {'state_dict': checkpoint}
    for name in WEIGHTS:
        inner = checkpoint.get(name)
        if isinstance(inner, dict) and inner and all(isinstance(value, Tensor) for value in inner.values()):
            return {**{key: value for key, value in checkpoint.items() if key != name}, 'state_dict': inner}
    return checkpoint


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except OSError:
        raise
    except Exception as error:
        raise DamagedCheckpointError(_damaged(path, f'cannot be read ({error})')) from error


def find_resumable(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """Find the intact checkpoint of a work directory with the most iterations.

    Returns:
        The checkpoint, or ``None`` if none is intact, and one message for each damaged file.

    Raises:
        UnsafeCheckpointError: One of them carries code.
    """
    progress: dict[Path, int] = {}
    damage: list[str] = []
    for path in _resumable_names(Path(work_dir)):
        try:
            checkpoint = load_checkpoint(path, mmap=True)
        except UnsafeCheckpointError:
            raise
        except (CheckpointError, FileNotFoundError) as error:
            damage.append(str(error))
            continue
        meta = checkpoint.get('meta')
        if 'optimizer' in checkpoint and isinstance(meta, dict) and isinstance(meta.get('iter'), int):
            progress[path] = meta['iter']
    for path in sorted(progress, key=lambda path: progress[path], reverse=True):
        try:
            if zipfile.is_zipfile(path):
                _check_sums(path)
            return path, damage
        except DamagedCheckpointError as error:
            damage.append(str(error))
    return None, damage


def _resumable_names(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob('*.pth')) if re.fullmatch(r'(epoch|iter)_\d+\.pth', path.name)]


def _damaged(path: Path, how: str) -> str:
    others = [other.name for other in _resumable_names(path.parent) if other != path]
    cure = f'{path.parent} also has {", ".join(others)}' if others else 'get the file again, or start without it'
    return f'checkpoint {path} {how}: {cure}'


def _what_exists(path: Path) -> str:
    absolute = path.absolute()
    folder = next(parent for parent in (absolute, *absolute.parents) if parent.is_dir())
    found = sorted(folder.glob('*.pth')) or sorted(folder.glob('*/*.pth'))
    if found:
        return f'{folder} has ' + ', '.join(str(other.relative_to(folder)) for other in found[:8])
    return f'{folder} has no *.pth file; tools/train.py writes them into its --work-dir'
