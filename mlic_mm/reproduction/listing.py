"""List tables, their rows, what they need, and which are done."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from mlic_mm.config_files.config_types import type_name
from mlic_mm.safe_load.pretrained import cached_path, pretrained_sources

from .paper import Paper
from .plan import find_paper, source_rows
from .recipe import Recipe
from .row import Row
from .run import Run
from .table import Table

__all__ = ['list_tables']


def list_tables(
    papers: Mapping[str, Paper], root: Path, which: str | None = None, data: str = 'full', seeds: int = 1
) -> None:
    """Print tables and what they need.

    Args:
        papers: All papers by their folders.
        root: Folder of all runs on these data.
        which: A paper or ``paper/table``, whose rows are listed then. Defaults to all papers.
        data: ``full`` or ``mini``.
        seeds: Runs of each row.

    Raises:
        ValueError: There is no such paper or table.
    """
    paper_name, _, table_name = (which or '').partition('/')
    for paper in [find_paper(papers, paper_name)] if paper_name else papers.values():
        print(f'{paper.name}: {paper.about["authors"]} ({paper.about["year"]}), {paper.about["title"]}')
        for table in [paper.table(table_name)] if table_name else paper.tables.values():
            rows = [row for row in table.rows if not row.cited]
            print(f'  {paper.name}/{table.name}  {table.title}: {len(rows)} rows, {len(table.rows) - len(rows)} cited')
            for need in _all_needs(paper, table, data):
                print(f'      needs {need}')
            if table_name:
                for row in table.rows:
                    print(f'      {row.name:32} {_describe(root, paper, table, row, data, seeds)}')


def _all_needs(paper: Paper, table: Table, data: str) -> list[str]:
    """Return what a table needs. Recipes that differ in other options alone are asked once."""
    first: dict[str, Recipe] = {}
    for row in table.rows:
        for _, member in source_rows(paper, table, row):
            recipe = paper.recipe(member, data)
            if isinstance(recipe, Recipe):
                key = f'{recipe.config} {recipe.options.get("model.backbone")} {dict(recipe.requires)}'
                first.setdefault(key, recipe)
    return list(dict.fromkeys(need for recipe in first.values() for need in _needs(paper.build(recipe))))


def _needs(cfg: Config) -> list[str]:
    """Return what a config reads, and whether it is there."""
    dataset = cfg.train_dataloader.dataset
    found = [(dataset.get('data_root'), Path(dataset.get('data_root') or '.').expanduser())]
    for step in dataset.get('pipeline', ()):
        if type_name(step.get('type')) == 'LoadProposals':
            found.append((f'proposals {step.file}', Path(step.file)))
    graph = cfg.model.head.get('label_graph', {}).get('graph')
    if graph:
        found.append((f'label graph {graph}', Path(graph)))
    for weights in pretrained_sources(cfg):
        file = cached_path(weights) if '://' in weights else Path(weights)
        found.append((f'weights {weights if len(weights) < 60 else file.name}', file))
    return list(dict.fromkeys(f'{text} ({"there" if path.exists() else "not there"})' for text, path in found))


def _describe(root: Path, paper: Paper, table: Table, row: Row, data: str, seeds: int) -> str:
    """Return one line on the state of a row."""
    published = ' '.join(f'{head} {value}' for head, value in list(row.published.items())[:1])
    if row.cited:
        return f'{published}  cited'
    states: list[str] = []
    first: dict[str, None] = {}
    for member in source_rows(paper, table, row):
        recipe = paper.recipe(member[1], data)
        if isinstance(recipe, str):
            return f'{published}  {recipe}'
        states += [Run(root, paper, *member, data, seed).state for seed in range(seeds)]
        first |= dict.fromkeys(recipe.requires.values())
    after = f', after {" and ".join(first)}' if first else ''
    return f'{published}  {states.count("done")} of {len(states)} runs done{after}'
