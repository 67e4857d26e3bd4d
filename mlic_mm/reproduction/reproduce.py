"""Run the rows of a table, and put the figures beside the published ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mlic_mm.utils.choices import check_choice, check_range
from mlic_mm.utils.clone import CLONE

from .listing import list_tables
from .paper import DATA, load_papers
from .plan import find_paper, plan_runs, show_plan
from .results import write_results

__all__ = ['reproduce']


def reproduce(
    target: str,
    which: str | None = None,
    *,
    rows: Sequence[str] = ('*',),
    data: Literal['full', 'mini'] = 'full',
    seeds: int = 1,
    gpus: int = 1,
    work_dir: str | Path = 'work_dirs/reproduce',
    resamples: int = 200,
    dry_run: bool = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Run the rows of a table, and put the figures beside the published ones; or list tables.

    A row is trained and tested once per seed. What is done is not run again, and a run that was stopped goes on from
    its last checkpoint.

    Args:
        target: ``PAPER/TABLE``, or ``list``.
        which: With ``list``, a paper or a table.
        rows: Names of rows, as shell patterns.
        data: ``full`` for the data of the paper, ``mini`` for small data and a small backbone.
        seeds: Runs of each row, with seeds 0, 1 …
        gpus: Processes of a run. The batch is divided.
        work_dir: Folder of runs and tables.
        resamples: Resamples of the bootstrap.
        dry_run: Print what would be run, and run nothing.
        options: Settings of every config to override, by dotted keys.

    Raises:
        ValueError: An option is invalid; there is no such paper, table or row; or a run failed.

    Example:
        >>> reproduce('list', 'mixup_baseline')  # doctest: +SKIP
        mixup_baseline: …
    """
    check_choice('data', data, DATA)
    for name, value in (('seeds', seeds), ('gpus', gpus)):
        check_range(name, value, at_least=1, whole=True)
    check_range('resamples', resamples, at_least=100, whole=True)
    if which and target != 'list':
        raise ValueError(f'{which} is not asked for: give rows by --rows {which}')
    papers, root = load_papers(CLONE / 'configs'), Path(work_dir) / data
    if target == 'list':
        list_tables(papers, root, which, data, seeds)
        return
    paper_name, _, table_name = target.partition('/')
    paper = find_paper(papers, paper_name)
    table = paper.table(table_name)
    runs = plan_runs(root, paper, table, rows, data, seeds)
    if dry_run:
        show_plan(runs, options, gpus)
        return
    for run in runs:
        run.bring(options, gpus)
    write_results(root, paper, table, rows, data, seeds, resamples)
