"""Put the results of other runs in the place of the folders that a config names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ['Place', 'hand_over']


class Place(NamedTuple):
    """Where the result of a run is.

    Attributes:
        folder: Of the run.
        config: The config that it was given.
        checkpoint: Its last checkpoint.
    """

    folder: Path
    config: Path
    checkpoint: Path


def hand_over(node: Any, places: Mapping[str, Place]) -> Any:
    """Return nested data in whose strings folders, configs in them and checkpoints in them are replaced.

    Args:
        node: Dictionaries, lists, tuples, strings and anything else.
        places: The new place by the old folder.

    Example:
        >>> place = Place(Path('runs/a'), Path('runs/a/given/config.py'), Path('runs/a/epoch_2.pth'))
        >>> hand_over(['work_dirs/a/a.py', 'work_dirs/a/epoch_20.pth', 'work_dirs/b'], {'work_dirs/a': place})
        ['runs/a/given/config.py', 'runs/a/epoch_2.pth', 'work_dirs/b']
    """
    if isinstance(node, dict):
        return {key: hand_over(part, places) for key, part in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(hand_over(part, places) for part in node)
    if not isinstance(node, str):
        return node
    for old, place in places.items():
        path = rf'(?<![\w./-]){re.escape(old)}'
        node = re.sub(rf'{path}/{re.escape(Path(old).name)}\.py(?!\S)', str(place.config), node)
        node = re.sub(rf'{path}/epoch_\d+\.pth(?!\S)', str(place.checkpoint), node)
        node = re.sub(rf'{path}(?=/|\s|$)', str(place.folder), node)
    return node
