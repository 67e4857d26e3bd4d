"""Which settings a resumed training takes from its checkpoint, and which from its config."""

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ['Difference', 'UnreadableSettingsError', 'compare_with_checkpoint', 'parse_settings']

START = 'to start a new training from its weights, give --cfg-options load_from=CHECKPOINT instead of --resume'
# Of the place and of this start, not of the training.
PLACE = (
    'work_dir',
    'experiment_name',
    'load_from',
    'resume',
    'launcher',
    'log_level',
    'visualizer',
    'vis_backends',
    'env_cfg',
)


class UnreadableSettingsError(ValueError):
    """The text of a config is no Python, and nothing can be compared."""


class Difference(NamedTuple):
    """A setting that differs between a checkpoint and the config of the run that resumes from it.

    Attributes:
        key: Dotted key.
        checkpoint: Value in the checkpoint as Python text; ``'nothing'`` if there is none.
        config: Value in the config, likewise.
        kept: Whether the value of the checkpoint holds.

    Example:
        >>> str(Difference('train_cfg.max_epochs', '3', '4', kept=False))
        'train_cfg.max_epochs=4 holds (config), not 3'
    """

    key: str
    checkpoint: str
    config: str
    kept: bool

    def __str__(self) -> str:
        if self.kept:
            return f'{self.key}={self.checkpoint} holds (checkpoint), not {self.config}'
        return f'{self.key}={self.config} holds (config), not {self.checkpoint}'

    @property
    def value(self) -> Any:
        """The value in the checkpoint.

        Raises:
            ValueError: It is no plain value.
        """
        return ast.literal_eval(self.checkpoint)


def compare_with_checkpoint(config: str, checkpoint: Mapping[str, Any], source: str) -> list[Difference]:
    """Compare the config of a resumed training with the config in its checkpoint.

    mmengine restores optimiser and schedules from the checkpoint, with their learning rates and milestones. Changes of
    these settings have no effect. Model, data and length of the training are those of the config.

    Args:
        config: Text of the config, as ``Config.pretty_text`` gives it.
        checkpoint: Its ``meta['cfg']`` is the text of the other config. It is read as data; nothing is executed.
        source: What messages call the checkpoint.

    Returns:
        The settings that differ.

    Raises:
        UnreadableSettingsError: One of the texts is no Python.
        ValueError: The state of the checkpoint does not fit: another optimiser, other groups of parameters, or
            schedules of another kind or number.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not isinstance(text, str):
        return []
    old, new = parse_settings(text), parse_settings(config)
    found = []
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key, 'nothing'), new.get(key, 'nothing')
        if was == now or key.split('.')[0] in PLACE:
            continue
        part = '.'.join(key.split('.')[:2])
        if key in ('optim_wrapper.optimizer.type', 'optim_wrapper.constructor') or 'paramwise_cfg' in key:
            raise ValueError(
                f'{source} was saved with {key}={was}, the config has {now}: its state does not fit; {START}'
            )
        if key.startswith('param_scheduler') and (key.endswith('.type') or 'nothing' in (was, now)):
            raise ValueError(
                f'{source} was saved with other schedules ({key} was {was}, is {now}): the state does not fit; {START}'
            )
        # Rates are scaled before those of the checkpoint take their place.
        kept = key.startswith(('param_scheduler', 'auto_scale_lr')) or part == 'optim_wrapper.optimizer'
        found.append(Difference(key, was, now, kept))
    return found


def parse_settings(text: str) -> dict[str, str]:
    """Read the text of a config as data, and return its settings by their dotted keys.

    Raises:
        UnreadableSettingsError: The text is no Python.

    Example:
        >>> parse_settings('a = dict(b=1, c=[2])')
        {'a.b': '1', 'a.c': '[2]'}
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableSettingsError(f'the config in the checkpoint cannot be read: {error}') from None
    found: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            _flatten(statement.value, statement.targets[0].id, found)
    return found


def _flatten(node: ast.expr, key: str, found: dict[str, str]) -> None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        for word in node.keywords:
            _flatten(word.value, f'{key}.{word.arg}', found)
    elif isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            _flatten(value, f'{key}.{ast.literal_eval(name) if isinstance(name, ast.Constant) else "?"}', found)
    elif isinstance(node, ast.List | ast.Tuple) and any(isinstance(part, ast.Call | ast.Dict) for part in node.elts):
        for index, part in enumerate(node.elts):
            _flatten(part, f'{key}.{index}', found)
    else:
        # Settings make no difference between lists and tuples.
        found[key] = ast.unparse(ast.List(node.elts)) if isinstance(node, ast.Tuple) else ast.unparse(node)
