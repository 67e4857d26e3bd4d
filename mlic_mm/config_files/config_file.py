"""Read config files, and say in one line what is wrong with one."""

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.utils import import_modules_from_strings

from .import_noise import HELD_BACK

__all__ = ['ConfigError', 'read_config', 'require_keys']

SUFFIXES = ('.py', '.yaml', '.yml', '.json')


class ConfigError(ValueError):
    """The config file cannot be used; the message names the file, the place and the cure."""


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file and merge settings into it.

    Args:
        path: Python, YAML or JSON file of mmengine.
        options: Settings to override, by dotted keys: ``{'optim_wrapper.optimizer.lr': 0.1}``.

    Raises:
        FileNotFoundError: There is no such file; the message says where it should be, and what is there.
        ConfigError: The file or one of its bases cannot be read, or an option does not fit into it.

    >>> read_config('configs/deeplift_coco.py', {'train_cfg.max_epochs': 2}).train_cfg.max_epochs
    2
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'no config {path}: looked for {file.absolute()}; {_what_exists(file)}')
    if file.suffix not in SUFFIXES:
        raise ConfigError(
            f'config {path} must end in {", ".join(SUFFIXES)}; give the config file that trains the model'
        )
    logger = MMLogger.get_current_instance()
    logger.addFilter(_keep_for_the_file)
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # a config is a program and can raise any error
        raise ConfigError(_reason(file, error)) from error
    finally:
        logger.removeFilter(_keep_for_the_file)
    try:
        cfg.merge_from_dict(dict(options or {}))
    except Exception as error:
        raise ConfigError(
            f'{", ".join(map(str, options or ()))} does not fit into config {path}: {_text(error)}'
        ) from error
    if any(key.split('.')[0] == 'custom_imports' for key in options or ()):  # mmengine imported those of the file
        import_modules_from_strings(**cfg.custom_imports)
    return cfg


def require_keys(cfg: Config, keys: Mapping[str, str]) -> None:
    """Refuse a config that lacks a part.

    Args:
        cfg: The config.
        keys: Purpose of each part by its name: ``{'model': 'the model to train'}``.

    Raises:
        ConfigError: A part is missing; the message names the first one.
    """
    for key, purpose in keys.items():
        if cfg.get(key) is None:
            raise ConfigError(
                f'{cfg.filename or "the config"} has no `{key}`, {purpose}: give a config of a whole training, such as '
                'configs/deeplift_coco.py'
            )
        if not isinstance(cfg[key], Mapping | list | tuple):
            raise ConfigError(f'{cfg.filename or "the config"}: `{key}` must be a dict(…), it is {cfg[key]!r}')
        if key.endswith('_dataloader') and not isinstance(cfg[key].get('dataset'), Mapping):
            raise ConfigError(f'{cfg.filename or "the config"}: `{key}.dataset` must be a dict(type=…)')


def _keep_for_the_file(record: logging.LogRecord) -> bool:
    """Hold back mmengine's line for each environment variable."""
    if not str(record.msg).startswith('Using env variable'):
        return True
    HELD_BACK.append(str(record.msg))
    return False


def _reason(file: Path, error: Exception) -> str:
    """Say what is wrong with a file or one of its bases."""
    name, line = str(file), None
    for frame, number in traceback.walk_tb(error.__traceback__):
        inner = frame.f_locals.get('filename')
        if frame.f_code.co_name in ('_file2dict', '_validate_py_syntax') and isinstance(inner, str):
            name, line = inner, None  # mmengine reads this file here
        elif frame.f_code.co_filename == name:
            line = number  # the file itself runs here
    if isinstance(error, FileNotFoundError) and error.filename:
        return f'config {file} inherits from {error.filename}, which does not exist: correct _base_'
    if isinstance(error, UnicodeDecodeError):
        return f'config {name} is not a text in UTF-8 (byte {error.start}): give a config file, or save it as UTF-8'
    if isinstance(error, SyntaxError):
        cause = error.__context__ if isinstance(error.__context__, SyntaxError) else error
        code = f': {cause.text.strip()}' if cause.text else ''
        return f'config {name}, line {cause.lineno or "?"}: {cause.msg}{code}'
    return f'config {name}{f", line {line}" if line else ""}: {_text(error)}'


def _text(error: Exception) -> str:
    if isinstance(error, ImportError):  # mmengine adds all of sys.path
        cause = f': {error.__cause__}' if error.__cause__ else ''
        return str(error).partition(', the current sys.path is')[0] + cause
    if isinstance(error, OSError | ConfigError) or type(error) is ValueError:
        return str(error)
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'{type(error).__name__}: {message}'


def _what_exists(file: Path) -> str:
    folder = next((parent for parent in file.absolute().parents if parent.is_dir()), Path('/'))
    if file.is_dir():
        folder = file
    found = sorted(path.name for path in folder.glob('*.py'))
    return f'{folder} has ' + (', '.join(found[:8]) + (' …' if len(found) > 8 else '') if found else 'no *.py file')
