"""List the tables of the papers, run their rows, and put our figures beside the published ones.

    python tools/reproduce.py list                                # every table, and what it needs
    python tools/reproduce.py list mixup_baseline/2               # the rows of one, and which are done
    python tools/reproduce.py mixup_baseline/2 --dry-run          # what would be run
    python tools/reproduce.py mixup_baseline/2 --rows 'COCO/R/M3/*' --seeds 3 --gpus 8
    python tools/reproduce.py mixup_baseline/3 --data mini        # small data, small backbone, a CPU

A row is trained and tested once per seed; what is done is not run again, and a run that was stopped goes on from its
last checkpoint. A row that needs another's result, as a student needs its teacher, has that row run first. The model
after the last epoch is tested; nothing is chosen on the test images. Started twice at once, on two GPUs for example,
each takes the runs that the other has not begun.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where it is run by its path
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
from mmengine.config import Config
from table_run import REPO, Run

from mlic_mm.cli.command import CommandParser, ConfigOptions, command, stop_status
from mlic_mm.config_files.config_types import type_name
from mlic_mm.evaluation import ScoreDump, ScoreFiles, fuse_scores
from mlic_mm.reproduction.page import Difference, Outcome, write_table
from mlic_mm.reproduction.paper_tables import DATA, Paper, Recipe, Row, Table, load_papers
from mlic_mm.reproduction.table_figures import RowFigures, measured_figures
from mlic_mm.safe_load.pretrained import cached_path, pretrained_sources
from mlic_mm.utils.choices import did_you_mean

MINI_NOTE = (
    'Small data, small backbone (EfficientNet-Lite0 at 112 to 160 pixels; VOC07-mini and PA-100K-mini, own splits; '
    'coco_mini): these '
    'figures say nothing about the published ones beside them. They show that a row runs, and how rows compare.'
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('target', help='list, or PAPER/TABLE')
    parser.add_argument('which', nargs='?', help='with list: PAPER or PAPER/TABLE')
    parser.add_argument('--rows', nargs='+', default=['*'], metavar='PATTERN', help="rows, such as 'COCO/R/M3/*'")
    parser.add_argument('--data', choices=DATA, default='full', help='full: the paper; mini: small data and backbone')
    parser.add_argument('--seeds', type=int, default=1, help='runs of each row, with seeds 0, 1 …')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run; the batch is divided')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'), help='where runs and tables go')
    parser.add_argument('--resamples', type=int, default=200, help='of the bootstrap')
    parser.add_argument('--dry-run', action='store_true', help='print what would be run')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help='override the config of every row: a.b=1'
    )
    args = parser.parse_args(argv)
    if args.seeds < 1 or args.gpus < 1:
        parser.error('--seeds and --gpus must be at least 1')
    if args.which and args.target != 'list':
        parser.error(f'{args.which} is not asked for: give rows by --rows {args.which}')
    if args.resamples < 100:
        parser.error('--resamples must be at least 100')
    return args


def sources(paper: Paper, table: Table, row: Row) -> list[tuple[Table, Row]]:
    """Rows of this paper that have to be run for a row: itself, the row it repeats, or those it fuses."""
    if row.cited:
        return []
    if row.fuse:
        return [paper.find(reference) for reference in row.fuse]
    return [paper.find(f'{table.name}/{row.name}')]


def collect(root: Path, paper: Paper, table: Table, row: Row, seeds: int, data: str) -> Outcome | list[ScoreDump]:
    """Return the scores of a row, one dump a seed, or why there are none."""
    if row.cited:
        return Outcome()
    members = sources(paper, table, row)
    for _, member in members:
        recipe = paper.recipe(member, data)
        if isinstance(recipe, str):
            return Outcome(reason=recipe)
    dumps = []
    for seed in range(seeds):
        files = [Run(root, paper, *member, data, seed).scores for member in members]
        if all(file.exists() for file in files):
            dumps.append(fuse(files) if row.fuse else ScoreDump.load(files[0]))
    return dumps or Outcome(reason='not run yet')


def fuse(paths: Sequence[Path]) -> ScoreDump:
    """Return the mean of the scores in some files, with the images and targets of the first."""
    files = ScoreFiles(paths)
    return replace(files.reference, scores=fuse_scores(files.read(lambda scores, _: scores)))


def render(root: Path, paper: Paper, table: Table, args: argparse.Namespace) -> None:
    """Write the table with what is done."""
    outcomes, pairs = {}, []
    drawn: dict[str, RowFigures] = {}
    chosen = table.select(args.rows)
    for row in table.rows:
        found = collect(root, paper, table, row, args.seeds, args.data)
        if isinstance(found, list):
            if table.preset is None:
                source = paper.find(f'{table.name}/{row.name}')
                runs = [Run(root, paper, *source, args.data, seed) for seed in range(args.seeds)]
                measured = [json.loads(run.figures.read_text()) for run in runs if run.state == 'done']
                figures = measured_figures(measured, table.columns)
            else:
                drawn[row.name] = RowFigures(found, table.columns, table.preset, args.resamples)
                figures = drawn[row.name].figures
            found = Outcome(figures, len(found))
        if found.figures or row in chosen:
            outcomes[row.name] = found
    for a, b in table.compare:
        if a in drawn and b in drawn and len(drawn[a].each) == len(drawn[b].each):
            pairs.append(Difference(a, b, drawn[a].minus(drawn[b])))
    warnings = [MINI_NOTE] if args.data == 'mini' else []
    text, page = write_table(paper, table, outcomes, pairs, root / paper.name, warnings=warnings)
    print(text.read_text(encoding='utf-8'))
    print(f'written: {text}, {page}')


def needs(cfg: Config) -> list[str]:
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


def list_tables(papers: dict[str, Paper], args: argparse.Namespace) -> None:
    """Print tables, their rows and what they need."""
    paper_name, _, table_name = (args.which or '').partition('/')
    root = args.work_dir / args.data
    for paper in [find_paper(papers, paper_name)] if paper_name else papers.values():
        print(f'{paper.name}: {paper.about["authors"]} ({paper.about["year"]}), {paper.about["title"]}')
        for table in [paper.table(table_name)] if table_name else paper.tables.values():
            rows = [row for row in table.rows if not row.cited]
            print(f'  {paper.name}/{table.name}  {table.title}: {len(rows)} rows, {len(table.rows) - len(rows)} cited')
            first_recipes: dict[str, Recipe] = {}
            for row in rows:
                for _, member in sources(paper, table, row):
                    recipe = paper.recipe(member, args.data)
                    if isinstance(recipe, Recipe):
                        key = f'{recipe.config} {recipe.options.get("model.backbone")} {dict(recipe.after)}'
                        first_recipes.setdefault(key, recipe)
            wanted = dict.fromkeys(need for recipe in first_recipes.values() for need in needs(paper.build(recipe)))
            for need in wanted:
                print(f'      needs {need}')
            if table_name:
                for row in table.rows:
                    print(f'      {row.name:32} {describe(root, paper, table, row, args)}')


def describe(root: Path, paper: Paper, table: Table, row: Row, args: argparse.Namespace) -> str:
    """One line on the state of a row."""
    published = ' '.join(f'{head} {value}' for head, value in list(row.published.items())[:1])
    if row.cited:
        return f'{published}  cited'
    states: list[str] = []
    first: dict[str, None] = {}
    for member in sources(paper, table, row):
        recipe = paper.recipe(member[1], args.data)
        if isinstance(recipe, str):
            return f'{published}  {recipe}'
        states += [Run(root, paper, *member, args.data, seed).state for seed in range(args.seeds)]
        first |= dict.fromkeys(recipe.after.values())
    after = f', after {" and ".join(first)}' if first else ''
    return f'{published}  {states.count("done")} of {len(states)} runs done{after}'


def find_paper(papers: dict[str, Paper], name: str) -> Paper:
    """Return a paper by its folder; raise ValueError that names the nearest."""
    if name not in papers:
        raise ValueError(f'no paper {name!r}{did_you_mean(name, papers, 1, listed=6)}')
    return papers[name]


def plan(paper: Paper, table: Table, args: argparse.Namespace) -> list[Run]:
    """Return the runs of the chosen rows, each once, one seed of all before the next; not those that they need."""
    root = args.work_dir / args.data
    runs: dict[Path, Run] = {}
    for seed in range(args.seeds):
        for row in table.select(args.rows):
            for member in sources(paper, table, row):
                if isinstance(paper.recipe(member[1], args.data), Recipe):
                    run = Run(root, paper, *member, args.data, seed)
                    runs.setdefault(run.folder, run)
    return list(runs.values())


def show(runs: Iterable[Run], options: dict[str, Any] | None, gpus: int, shown: set[Path] | None = None) -> None:
    """Print the commands of what is not done, in their order."""
    shown = set() if shown is None else shown
    for run in runs:
        if run.folder in shown:
            continue
        shown.add(run.folder)
        if run.state != 'done':
            show(run.needed.values(), options, gpus, shown)
        print(f'{run.name}: {run.state}; configs/{run.recipe.config} and {len(run.recipe.options)} options')
        if run.state != 'done':
            for command in [*run.commands_before(options), *run.commands(gpus)]:
                print(f'  {shlex.join(command)}')


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        papers = load_papers(REPO / 'configs')
        if args.target == 'list':
            list_tables(papers, args)
            return 0
        paper_name, _, table_name = args.target.partition('/')
        paper = find_paper(papers, paper_name)
        table = paper.table(table_name)
        runs = plan(paper, table, args)
        if args.dry_run:
            show(runs, args.cfg_options, args.gpus)
            return 0
        for run in runs:
            run.bring(args.cfg_options, args.gpus)
        render(args.work_dir / args.data, paper, table, args)
    except KeyboardInterrupt as stop:
        print('\nstopped; the same command goes on from here')
        return stop_status(stop)
    return 0


if __name__ == '__main__':
    sys.exit(main())
