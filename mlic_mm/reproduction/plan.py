"""Which runs the rows of a table need, and what would be run."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlic_mm.utils.choices import did_you_mean

from .paper import Paper
from .recipe import Recipe
from .row import Row
from .run import Run
from .table import Table

__all__ = ['find_paper', 'plan_runs', 'show_plan', 'source_rows']


def find_paper(papers: Mapping[str, Paper], name: str) -> Paper:
    """Return a paper by its folder.

    Raises:
        ValueError: There is no such paper; the message names the nearest.
    """
    if name not in papers:
        raise ValueError(f'no paper {name!r}{did_you_mean(name, papers, 1, listed=6)}')
    return papers[name]


def source_rows(paper: Paper, table: Table, row: Row) -> list[tuple[Table, Row]]:
    """Return the rows that must be run for a row: itself, the row that it repeats, or those that it fuses."""
    if row.cited:
        return []
    if row.fuse:
        return [paper.find(reference) for reference in row.fuse]
    return [paper.find(f'{table.name}/{row.name}')]


def plan_runs(
    root: Path, paper: Paper, table: Table, patterns: Sequence[str] = ('*',), data: str = 'full', seeds: int = 1
) -> list[Run]:
    """Return the runs of some rows, each once, one seed of all rows before the next; not those that they require.

    Args:
        root: Folder of all runs on these data.
        paper: The paper.
        table: One of its tables.
        patterns: Names of rows, as shell patterns.
        data: ``full`` or ``mini``.
        seeds: Runs of each row.

    Raises:
        ValueError: A pattern matches no row.
    """
    runs: dict[Path, Run] = {}
    for seed in range(seeds):
        for row in table.select(patterns):
            for member in source_rows(paper, table, row):
                if isinstance(paper.recipe(member[1], data), Recipe):
                    run = Run(root, paper, *member, data, seed)
                    runs.setdefault(run.folder, run)
    return list(runs.values())


def show_plan(
    runs: Iterable[Run], options: Mapping[str, Any] | None, gpus: int, shown: set[Path] | None = None
) -> None:
    """Print the commands of what is not done, in their order.

    Args:
        runs: What to show, with the runs that each requires before it.
        options: Settings of every config to override, by dotted keys.
        gpus: Processes of a run.
        shown: Folders of runs that are left out.
    """
    shown = set() if shown is None else shown
    for run in runs:
        if run.folder in shown:
            continue
        shown.add(run.folder)
        if run.state != 'done':
            show_plan(run.required.values(), options, gpus, shown)
        print(f'{run.name}: {run.state}; configs/{run.recipe.config} and {len(run.recipe.options)} options')
        if run.state != 'done':
            for command in [*run.setup_commands(options), *run.commands(gpus)]:
                print(f'  {shlex.join(command)}')
