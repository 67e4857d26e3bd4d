"""A paper and its tables, as ``configs/<paper>/tables.py`` has them.

The file is plain Python with a dictionary ``paper`` (title, authors, year) and a list ``tables`` of :class:`Table`.
``tools/reproduce.py`` runs and renders them.
"""

import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.utils.choices import did_you_mean

from .recipe import Recipe
from .row import Row
from .table import Table

__all__ = ['DATA', 'Paper', 'load_papers']

DATA = ('full', 'mini')
"""What a table is run on: the data of the paper, or small data."""


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
