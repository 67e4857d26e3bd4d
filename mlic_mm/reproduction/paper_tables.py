"""The tables of a paper as data: rows, published figures, and the config that gives each row.

``configs/<paper>/tables.py`` is a plain Python file with a dictionary ``paper`` (title, authors, year) and a list
``tables`` of :class:`Table`. ``tools/reproduce.py`` runs and renders them.
"""

import runpy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.utils.choices import did_you_mean

__all__ = ['Paper', 'Recipe', 'Row', 'Table', 'load_papers']

DATA = ('full', 'mini')


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


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: one way to get its scores, or none where the figures are another paper's.

    Args:
        name: Unique in the table; parts are separated by ``/``.
        published: Percentages by column heading; columns that the paper leaves out are missing.
        recipe: Trains and tests a model.
        mini: The same row on small real data with a small backbone, or why there is none.
        fuse: Rows whose scores are averaged, as ``table/row`` of the same paper.
        same_as: Row whose model this is, as ``table/row``: it is trained once.
    """

    name: str
    published: Mapping[str, float] = field(default_factory=dict)
    recipe: Recipe | None = None
    mini: Recipe | str | None = None
    fuse: Sequence[str] = ()
    same_as: str | None = None

    def __post_init__(self) -> None:
        if sum(bool(way) for way in (self.recipe, self.fuse, self.same_as)) > 1:
            raise ValueError(f'row {self.name!r}: recipe, fuse and same_as exclude each other')

    @property
    def cited(self) -> bool:
        """Whether the figures are another paper's, with nothing to run here."""
        return not (self.recipe or self.fuse or self.same_as)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper.

    Args:
        name: As printed: ``'2'``, ``'IV'``.
        title: What it compares, in our words.
        columns: Heading to a figure of :func:`mlic_mm.evaluation.evaluate_scores`, or ``AP/<class>``.
        preset: Evaluation protocol. None: the columns are what other metrics of the test measure, named
            by a shell pattern, such as ``inconsistency_scale_*``.
        rows: In the order of the paper.
        compare: Pairs of this table's rows whose difference is of interest.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    preset: str | None
    rows: Sequence[Row]
    compare: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f'table {self.name}: row {sorted(twice)[0]!r} is there twice')
        for row in self.rows:
            odd = set(row.published) - set(self.columns)
            if odd:
                raise ValueError(f'table {self.name}, row {row.name!r}: no column {sorted(odd)[0]!r}')
        for name in {name for pair in self.compare for name in pair} - set(names):
            raise ValueError(f'table {self.name} compares row {name!r}, which it does not have')

    def select(self, patterns: Iterable[str]) -> list[Row]:
        """Rows whose names match any of the shell patterns, in the order of the table.

        Raises:
            ValueError: A pattern matches no row; names the nearest.
        """
        names = [row.name for row in self.rows]
        chosen: set[str] = set()
        for pattern in patterns:
            found = {name for name in names if fnmatchcase(name, pattern)}
            if not found:
                raise ValueError(f'table {self.name} has no row {pattern!r}{did_you_mean(pattern, names, 1, listed=6)}')
            chosen |= found
        return [row for row in self.rows if row.name in chosen]


@dataclass(frozen=True)
class Paper:
    """The tables of one folder below ``configs/``."""

    name: str
    folder: Path
    about: Mapping[str, Any]
    tables: Mapping[str, Table]

    def table(self, name: str) -> Table:
        """Return a table by its name; raise ValueError that names the nearest."""
        if name not in self.tables:
            raise ValueError(f'{self.name} has no table {name!r}{did_you_mean(name, self.tables, 1, listed=6)}')
        return self.tables[name]

    def find(self, reference: str) -> tuple[Table, Row]:
        """Return the row that ``table/row`` means, through ``same_as``."""
        table_name, _, row_name = reference.partition('/')
        table = self.table(table_name)
        row = next((row for row in table.rows if row.name == row_name), None)
        if row is None:
            names = [row.name for row in table.rows]
            raise ValueError(f'{self.name}: no row {reference!r}{did_you_mean(row_name, names, 1, listed=6)}')
        return self.find(row.same_as) if row.same_as else (table, row)

    @cached_property
    def configs(self) -> Path:
        """Folder that the recipes' files are named from."""
        return self.folder.parent

    def recipe(self, row: Row, data: str = 'full') -> Recipe | str:
        """Return how a row is trained on ``'full'`` or ``'mini'`` data, or why it is not."""
        if row.cited:
            return 'figures of another paper'
        chosen = row.recipe if data == 'full' else row.mini
        return chosen or 'no small form of this row'

    def required_rows(self, row: Row, data: str = 'full') -> dict[str, tuple[Table, Row]]:
        """Return the rows that a row requires, by the folder that its config names.

        Raises:
            ValueError: No such row, or one that is not trained on such data.
        """
        recipe = self.recipe(row, data)
        found = {}
        for folder, reference in recipe.requires.items() if isinstance(recipe, Recipe) else ():
            found[folder] = self.find(reference)
            reason = self.recipe(found[folder][1], data)
            if isinstance(reason, str):
                raise ValueError(
                    f'{self.name}: row {row.name!r} requires {reference!r} on {data} data, which has none: {reason}'
                )
        return found

    def build(self, recipe: Recipe, options: Mapping[str, Any] | None = None) -> Config:
        """Return the config of a recipe. The model after the last epoch is what is tested.

        Nothing is validated on the way, since that would be on the test images: no best epoch is chosen.
        """
        cfg = read_config(self.configs / recipe.config)
        cfg.merge_from_dict(dict(recipe.options))
        cfg.merge_from_dict(dict(options or {}))
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        for hook in ('checkpoint', 'early_stopping'):
            if (cfg.get('default_hooks') or {}).get(hook):
                for key in ('save_best', 'rule'):
                    cfg.default_hooks[hook].pop(key, None)
        return cfg


def load_papers(configs: str | Path) -> dict[str, Paper]:
    """Read every ``tables.py`` below the folder of configs.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A file defines no ``paper`` or ``tables``, or rows that do not fit together.
    """
    files = sorted(Path(configs).glob('*/tables.py'))
    if not files:
        raise FileNotFoundError(f'no <paper>/tables.py below {configs}')
    papers = {}
    for file in files:
        content = runpy.run_path(str(file))
        if not {'paper', 'tables'} <= content.keys():
            raise ValueError(f"{file}: must define the dictionary 'paper' and the list 'tables'")
        paper = Paper(file.parent.name, file.parent, content['paper'], {t.name: t for t in content['tables']})
        for table in paper.tables.values():
            for row in table.rows:
                for reference in [*row.fuse, *([row.same_as] if row.same_as else [])]:
                    paper.find(reference)
                for data in DATA:
                    _check_order(paper, table, row, data)
        papers[paper.name] = paper
    return papers


def _check_order(paper: Paper, table: Table, row: Row, data: str, later: tuple[str, ...] = ()) -> None:
    """Raise ValueError where a row would have to be run before itself."""
    name = f'{table.name}/{row.name}'
    if name in later:
        raise ValueError(f'{paper.name}: rows that wait for each other: {" after ".join([*later, name])}')
    for needed in paper.required_rows(row, data).values():
        _check_order(paper, *needed, data, (*later, name))
