"""The figures of what is done, written beside the published ones."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlic_mm.evaluation import ScoreDump, ScoreFiles, fuse_scores

from .page import Difference, Outcome, write_table
from .paper import Paper
from .plan import source_rows
from .row import Row
from .run import Run
from .table import Table
from .table_figures import RowFigures, measured_figures

__all__ = ['write_results']

MINI_NOTE = (
    'Small data, small backbone (EfficientNet-Lite0 at 112 to 160 pixels; VOC07-mini and PA-100K-mini, own splits; '
    'coco_mini): these '
    'figures say nothing about the published ones beside them. They show that a row runs, and how rows compare.'
)


def write_results(
    root: Path,
    paper: Paper,
    table: Table,
    patterns: Sequence[str] = ('*',),
    data: str = 'full',
    seeds: int = 1,
    resamples: int = 200,
) -> None:
    """Write and print a table with the figures of what is done.

    Args:
        root: Folder of all runs on these data.
        paper: The paper.
        table: One of its tables.
        patterns: Names of rows that are shown even if they are not done, as shell patterns.
        data: ``full`` or ``mini``.
        seeds: Runs of each row.
        resamples: Resamples of the bootstrap.
    """
    outcomes, pairs = {}, []
    drawn: dict[str, RowFigures] = {}
    chosen = table.select(patterns)
    for row in table.rows:
        found = _collect(root, paper, table, row, data, seeds)
        if isinstance(found, list):
            if table.preset is None:
                figures = measured_figures(_measured(root, paper, table, row, data, seeds), table.columns)
            else:
                drawn[row.name] = RowFigures(found, table.columns, table.preset, resamples)
                figures = drawn[row.name].figures
            found = Outcome(figures, len(found))
        if found.figures or row in chosen:
            outcomes[row.name] = found
    for a, b in table.compare:
        if a in drawn and b in drawn and len(drawn[a].each) == len(drawn[b].each):
            pairs.append(Difference(a, b, drawn[a].minus(drawn[b])))
    warnings = [MINI_NOTE] if data == 'mini' else []
    text, page = write_table(paper, table, outcomes, pairs, root / paper.name, warnings=warnings)
    print(text.read_text(encoding='utf-8'))
    print(f'written: {text}, {page}')


def _measured(root: Path, paper: Paper, table: Table, row: Row, data: str, seeds: int) -> list[dict[str, float]]:
    source = paper.find(f'{table.name}/{row.name}')
    runs = [Run(root, paper, *source, data, seed) for seed in range(seeds)]
    return [json.loads(run.figures.read_text()) for run in runs if run.state == 'done']


def _collect(root: Path, paper: Paper, table: Table, row: Row, data: str, seeds: int) -> Outcome | list[ScoreDump]:
    """Return the scores of a row, one dump a seed, or why there are none."""
    if row.cited:
        return Outcome()
    members = source_rows(paper, table, row)
    for _, member in members:
        recipe = paper.recipe(member, data)
        if isinstance(recipe, str):
            return Outcome(reason=recipe)
    dumps = []
    for seed in range(seeds):
        files = [Run(root, paper, *member, data, seed).scores for member in members]
        if all(file.exists() for file in files):
            dumps.append(_fuse(files) if row.fuse else ScoreDump.load(files[0]))
    return dumps or Outcome(reason='not run yet')


def _fuse(paths: Sequence[Path]) -> ScoreDump:
    """Return the mean of the scores in some files, with the images and targets of the first."""
    files = ScoreFiles(paths)
    return replace(files.reference, scores=fuse_scores(files.read(lambda scores, _: scores)))
