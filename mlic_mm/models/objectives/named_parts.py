"""Parts of a config by name: the objectives of a model, the losses of an objective."""

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.model import ModuleDict
from torch import nn

from mlic_mm.models.view_transforms import ViewTransform
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import did_you_mean

from .objective import Objective

__all__ = ['build_objective', 'check_dropped', 'module_dict', 'named_parts', 'shown']

CURE = '(a config that inherits needs _delete_=True to give a name another type)'


def named_parts(option: str, given: Any) -> dict[str, Any]:
    """Return parts by name, without those that are None: a config that inherits drops a part so.

    Raises:
        TypeError: The option is no dictionary, or a name is no text.

    Example:
        >>> named_parts('losses', dict(soft=dict(type='mlic_mm.HintonDistillLoss'), hint=None))
        {'soft': {'type': 'mlic_mm.HintonDistillLoss'}}
    """
    if not isinstance(given, Mapping):
        cure = f"{option}=dict(name=dict(type='mlic_mm.…'))"
        raise TypeError(f'{option}={shown(given)} must be a dictionary of {option} by name: {cure}')
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f'{option}[{name!r}] must have a text as name: write {str(name)!r} in quotes')
    return {name: part for name, part in given.items() if part is not None}


def module_dict(option: str, parts: Mapping[str, nn.Module]) -> ModuleDict:
    """Return modules by name as a module.

    Raises:
        ValueError: A module cannot have such a name.
    """
    modules = ModuleDict()
    for name, part in parts.items():
        try:
            modules[name] = part
        except KeyError as error:  # a dot, or the name of a method of dictionaries
            raise ValueError(f'{option}[{name!r}] must have another name: {error.args[0]}') from error
    return modules


def shown(value: Any) -> str:
    """Return a value for a message, in one short line: its type if it is no text and no number."""
    return repr(value) if value is None or isinstance(value, str | int | float) else type(value).__name__


def build_objective(name: str, given: Any) -> Objective:
    """Return the objective of a config, or a built one.

    Raises:
        TypeError: It is no objective, or gets an option that it does not have.
    """
    key = f'objectives[{name!r}]'
    if isinstance(given, Mapping):
        _check_options(key, given)
        given = MODELS.build(given)
    if not isinstance(given, Objective):
        cure = "write a config, dict(type='mlic_mm.…'), or None to drop it"
        raise TypeError(f'{key}={shown(given)} must be a subclass of mlic_mm.Objective: {cure}')
    if '_modules' not in vars(given):
        raise TypeError(f'{key}={type(given).__name__} must call super().__init__() first in its __init__')
    for view in given.views:
        if not isinstance(view, ViewTransform):
            raise TypeError(f'{key} has a view {shown(view)}, which must be a ViewTransform: use TASK_UTILS.build')
    return given


def check_dropped(dropped: Iterable[str], names: Iterable[str]) -> None:
    """Refuse to drop an objective whose name is a misspelt name of an objective that remains.

    Names with a word in common, such as ``teacher_1`` and ``teacher_2``, are no misspelt ones.

    Raises:
        ValueError: The message has the name that is meant.

    Example:
        >>> check_dropped(['teacher_2'], ['teacher_1'])
        >>> check_dropped(['techer'], ['teacher'])
        Traceback (most recent call last):
        ValueError: objectives['techer']=None must be the name of an objective to drop: did you mean 'teacher'?
    """
    names = list(names)
    for name in dropped:
        near = difflib.get_close_matches(name.lower(), names, 1, 0.8)
        if near and not _words(name) & _words(near[0]):
            raise ValueError(
                f'objectives[{name!r}]=None must be the name of an objective to drop: did you mean {near[0]!r}?'
            )


def _words(name: str) -> set[str]:
    return set(re.findall('[A-Za-z]{2,}', name))


def _check_options(key: str, config: Mapping[str, Any]) -> None:
    kind = config.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if not inspect.isclass(kind):
        return  # the registry has a message
    options = inspect.signature(kind).parameters
    if any(each.kind is each.VAR_KEYWORD for each in options.values()):
        return
    for option in config:
        if option not in options and option not in ('type', '_scope_'):
            another = f'{did_you_mean(option, options)} {CURE}'
            meant = did_you_mean(option, options, 1, listed=0) or another
            raise TypeError(f'{key}: {kind.__name__} has no argument {option!r}{meant}')
