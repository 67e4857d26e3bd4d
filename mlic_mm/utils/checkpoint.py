"""Checkpoints are data: read them without running what they carry, and say what is wrong with a bad one."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from .torch_data import ALLOW_LISTS, read_torch_data, safe_globals

__all__ = [
    'CheckpointError',
    'DamagedCheckpointError',
    'UnsafeCheckpointError',
    'find_resumable',
    'forbid_code_in_checkpoints',
    'load_checkpoint',
]


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the cure."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that is empty, cut short or no checkpoint at all."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that holds more than plain data, and could run code if it were unpickled."""


def forbid_code_in_checkpoints() -> None:
    """Make every checkpoint in this process, and in those it starts, load as plain data or not at all.

    mmengine answers a failed safe load by executing the pickle, with only a warning. Tools call this first, so that
    ``--resume``, ``load_from``, ``init_cfg=dict(type='Pretrained')`` and test all refuse such a file. It is a function
    and not done on ``import mlic_mm`` because it changes a policy of the whole process.
    """
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    if ALLOW_LISTS:  # for what mmengine loads by other ways than a local path, such as a URL
        torch.serialization.add_safe_globals([(value, name) for name, value in safe_globals().items()])
    CheckpointLoader.register_scheme(prefixes='', loader=load_checkpoint, force=True)


def load_checkpoint(filename: str | Path, map_location: Any = 'cpu', *, mmap: bool = False) -> dict[str, Any]:
    """Read a local checkpoint as plain data: tensors, arrays, numbers, strings and containers of them.

    Args:
        filename (str | Path): A file written by ``torch.save``.
        map_location (str | torch.device | Callable): As for ``torch.load``.
        mmap (bool): Leave tensors on disk until they are used, to look at the rest quickly.

    Raises:
        FileNotFoundError: There is no such file; the message lists checkpoints near it.
        DamagedCheckpointError: The file is empty, cut short or no checkpoint.
        UnsafeCheckpointError: The file holds more than plain data; nothing of it was executed.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint {path}: {_what_exists(path)}')
    zipped = zipfile.is_zipfile(path)
    if not zipped and (path.stat().st_size == 0 or path.read_bytes()[:2] == b'PK'):
        raise DamagedCheckpointError(_damaged(path, f'is cut short at {path.stat().st_size:,} bytes'))
    try:
        checkpoint = read_torch_data(path, map_location, mmap and zipped)
    except (OSError, MemoryError):
        raise  # the machine's trouble, not the file's
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        found = re.search(r'(?:GLOBAL|reduce for unrecognized function) (getattr\(.*?\)|\S*)|(TorchScript)', str(error))
        if found:
            raise UnsafeCheckpointError(
                f'checkpoint {path} carries {found[1] or found[2]!r}, which is not plain data: it was refused and '
                'nothing of it was executed. If you trust its author, ask for the weights alone: '
                "torch.save({'state_dict': model.state_dict()}, path)"
            ) from None
        reason = f'{type(error).__name__}: {error}'.splitlines()[0][:120]
        raise DamagedCheckpointError(_damaged(path, f'cannot be read ({reason})')) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'checkpoint {path} holds a {type(checkpoint).__name__}, not a dict of weights')
    if isinstance(checkpoint.get('meta'), dict):
        # mmengine's resume executes this string as a Python config to compare numbers of GPUs; it writes 'cfg' itself.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def find_resumable(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """Find the checkpoint of a work directory with the most iterations among those that can be read.

    Returns:
        tuple[Path | None, list[str]]: The checkpoint, ``None`` where the directory has none yet, and one message for
        each newer or older file that had to be passed over because it is damaged.

    Raises:
        DamagedCheckpointError: There are checkpoints, and every one is damaged.
        UnsafeCheckpointError: One of them carries code.
    """
    progress: dict[Path, int] = {}
    damage: list[str] = []
    for path in _resumable_names(Path(work_dir)):
        try:
            checkpoint = load_checkpoint(path, mmap=True)
        except DamagedCheckpointError as error:
            damage.append(str(error))
            continue
        if 'optimizer' in checkpoint and 'iter' in checkpoint.get('meta', {}):
            progress[path] = checkpoint['meta']['iter']
    if progress:
        return max(progress, key=lambda path: progress[path]), damage
    if damage:
        raise DamagedCheckpointError(f'nothing to resume from in {work_dir}: ' + '; '.join(damage))
    return None, []


def _resumable_names(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob('*.pth')) if re.fullmatch(r'(epoch|iter)_\d+\.pth', path.name)]


def _damaged(path: Path, how: str) -> str:
    others = [other.name for other in _resumable_names(path.parent) if other != path]
    cure = f'{path.parent} also has {", ".join(others)}' if others else 'get the file again, or start without it'
    return f'checkpoint {path} {how}: {cure}'


def _what_exists(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    found = sorted(folder.glob('*.pth')) or sorted(folder.glob('*/*.pth'))
    if found:
        return f'{folder} has ' + ', '.join(str(other.relative_to(folder)) for other in found[:8])
    return f'{folder} has no *.pth file; tools/train.py writes them into its --work-dir'
