"""How the model of a row is trained and tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ['Recipe']


@dataclass(frozen=True)
class Recipe:
    """A config and what differs from it.

    Args:
        config: File below ``configs/``.
        options: As for ``--cfg-options``: dotted keys, ``None`` drops a part, ``_delete_`` works.
        test_options: Options of the test alone, such as what it measures besides the scores.
        requires: Rows of the paper that are run first, with the same seed: ``table/row`` by the folder that config and
            commands read their result from. The folder is ``work_dirs/<name of their config>``, where
            ``tools/train.py`` leaves it, so that the config also works by itself. In a table the row's own folder, its
            config and its last checkpoint replace ``folder``, ``folder/<name>.py`` and ``folder/epoch_<N>.pth``.
        setup: Commands of ``tools/`` to run when those rows are done, such as ``'cache_teacher.py …'``. They run again
            whenever a row is begun or goes on, so they must be quick if there is nothing left to do.

    Raises:
        ValueError: There are commands, but no row that they follow.

    Example:
        >>> Recipe('kd_wsd/student.py', requires={'work_dirs/teacher': '3/Teacher'}).requires
        {'work_dirs/teacher': '3/Teacher'}
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    test_options: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)
    setup: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.setup and not self.requires:
            raise ValueError(f'{self.config}: setup={list(self.setup)} follows no row: name it in requires')
