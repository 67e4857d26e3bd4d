"""List the tables of the papers, run their rows, and put our figures beside the published ones.

    python tools/reproduce.py list                                # every table, and what it needs
    python tools/reproduce.py list mixup_baseline/2               # the rows of one, and which are done
    python tools/reproduce.py mixup_baseline/2 --dry-run          # what would be run
    python tools/reproduce.py mixup_baseline/2 --rows 'COCO/R/M3/*' --seeds 3 --gpus 8
    python tools/reproduce.py mixup_baseline/3 --data mini        # small data, small backbone, a CPU

A row is trained and tested once per seed; what is done is not run again, and a run that was stopped goes on from its
last checkpoint. The model after the last epoch is tested; nothing is chosen on the test images. Started twice at once,
on two GPUs for example, each takes the runs that the other has not begun.
"""

import argparse
import fcntl
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import torch
from mmengine.config import Config, DictAction

from mlic_mm.evaluation import ScoreDump, ScoreFiles, fuse_scores
from mlic_mm.evaluation.table_figures import measured_figures, table_difference, table_figures
from mlic_mm.utils.paper_tables import DATA, Paper, Recipe, Row, Table, load_papers, nearest
from mlic_mm.utils.pretrained import cached_path, pretrained_sources
from mlic_mm.visualization.paper_table_page import Difference, Outcome, write_table

REPO = Path(__file__).resolve().parents[1]
MINI_NOTE = (
    'Small data, small backbone (EfficientNet-Lite0 at 112 to 160 pixels; VOC07-mini and PA-100K-mini, own splits; '
    'coco_mini): these '
    'figures say nothing about the published ones beside them. They show that a row runs, and how rows compare.'
)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('target', help='list, or PAPER/TABLE')
    parser.add_argument('which', nargs='?', help='with list: PAPER or PAPER/TABLE')
    parser.add_argument('--rows', nargs='+', default=['*'], metavar='PATTERN', help="rows, such as 'COCO/R/M3/*'")
    parser.add_argument('--data', choices=DATA, default='full', help='full: the paper; mini: small data and backbone')
    parser.add_argument('--seeds', type=int, default=1, help='runs of each row, with seeds 0, 1 …')
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run; the batch is divided')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'), help='where runs and tables go')
    parser.add_argument('--resamples', type=int, default=200, help='of the bootstrap')
    parser.add_argument('--dry-run', action='store_true', help='print what would be run')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override the config of every row: a.b=1')
    args = parser.parse_args(argv)
    if args.seeds < 1 or args.gpus < 1:
        parser.error('--seeds and --gpus must be at least 1')
    if args.resamples < 100:
        parser.error('--resamples must be at least 100')
    return args


class Run:
    """One row with one seed, in a folder of its own: config, checkpoints, log and scores."""

    def __init__(self, root: Path, paper: Paper, table: Table, row: Row, seed: int) -> None:
        self.name = f'{paper.name}/{table.name}/{row.name} seed {seed}'
        self.folder = root / paper.name / table.name / row.name.replace('/', '_').replace(' ', '_') / f'seed{seed}'
        # Not in the folder itself, where the runner writes what it made of the config.
        self.config = self.folder / 'given' / 'config.py'
        self.test_config = self.config.with_name('test_config.py')
        self.scores, self.log = self.folder / 'scores.npz', self.folder / 'log.txt'
        self.figures = self.folder / 'figures.json'
        self.paper, self.row, self.seed = paper, row, seed

    @property
    def state(self) -> str:
        """``done``, ``started`` or ``open``."""
        return 'done' if self.scores.exists() else 'started' if (self.folder / 'last_checkpoint').exists() else 'open'

    def prepare(self, recipe: Recipe, options: dict[str, Any] | None, gpus: int) -> None:
        """Write the config, or check that it is still the one the run was begun with."""
        cfg = self.paper.build(recipe, options)
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': self.seed}
        if gpus > 1:
            share_batch(cfg, gpus)
        if self.state != 'open':
            changed = differences(Config.fromfile(self.config), cfg)
            if changed and self.state == 'done':
                print(f'note: {self.name} was done with another config than now: {changed}')
            elif changed:
                raise ValueError(
                    f'{self.config}: {self.name} was begun with another config than now ({changed}); give another '
                    f'--work-dir, or remove {self.folder} to run it anew'
                )
        if self.state == 'done':
            return
        self.config.parent.mkdir(parents=True, exist_ok=True)
        if self.state == 'open':
            write_config(cfg, self.config)
        cfg.merge_from_dict(dict(recipe.test_options))
        write_config(cfg, self.test_config)

    def commands(self, gpus: int) -> tuple[list[str], list[str]]:
        """Return how to train and how to test; the checkpoint is known only after training."""
        folder, scores = str(self.folder), str(self.scores)
        rest = ['--work-dir', folder]
        if gpus > 1:
            train = [str(REPO / 'tools/dist_train.sh'), str(self.config), str(gpus)]
            test = [str(REPO / 'tools/dist_test.sh'), str(self.test_config), '{checkpoint}', str(gpus)]
        else:
            train = [sys.executable, str(REPO / 'tools/train.py'), str(self.config)]
            test = [sys.executable, str(REPO / 'tools/test.py'), str(self.test_config), '{checkpoint}']
        # Without a whole checkpoint there is nothing to go on from; train.py moves what is there aside.
        resume = ['--resume'] if self.state == 'started' else []
        return [*train, *rest, *resume], [*test, *rest, '--no-report', '--figures', str(self.figures), '--out', scores]

    def execute(self, gpus: int) -> None:
        """Train and test, with the output in the log."""
        train, test = self.commands(gpus)
        self._call(train)
        checkpoint = (self.folder / 'last_checkpoint').read_text().strip()
        self._call([word.replace('{checkpoint}', checkpoint) for word in test])

    def _call(self, command: list[str]) -> None:
        with self.log.open('a', encoding='utf-8') as log:
            print(f'$ {shlex.join(command)}', file=log, flush=True)
            env = {'PORT': str(free_port()), **os.environ, 'PYTHON': sys.executable}
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=env, check=False).returncode
        if code:
            tail = self.log.read_text(errors='replace').strip().splitlines()[-8:]
            raise RuntimeError(
                f'{self.name} failed with exit status {code}; the end of {self.log}:\n  ' + '\n  '.join(tail)
            )

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Whether this process may run it; the lock goes with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / '.lock').open('w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def write_config(cfg: Config, path: Path) -> None:
    """Write a config, whole or not at all."""
    part = path.with_name(f'.{path.name}')
    part.write_text(cfg.pretty_text, encoding='utf-8')
    os.replace(part, path)


def share_batch(cfg: Config, gpus: int) -> None:
    """Divide the paper's batch among the GPUs and normalise over all of it, as one GPU would."""
    batch = cfg.train_dataloader.batch_size
    if batch % gpus:
        raise ValueError(f'the batch of {batch} does not divide among --gpus {gpus}: give a divisor of {batch}')
    cfg.train_dataloader.batch_size = batch // gpus
    if torch.cuda.is_available():
        cfg.sync_bn = 'torch'


def free_port() -> int:
    """A port for the processes of one run to meet at, so that several runs do not meet each other."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def differences(old: Config, new: Config) -> str:
    """Name the first keys in which two configs differ, whichever of them went through a file."""

    def flat(node: Any, key: str = '') -> dict[str, str]:
        if isinstance(node, dict) and node:
            return {k: v for name, part in node.items() for k, v in flat(part, f'{key}.{name}').items()}
        return {key[1:]: json.dumps(node, default=str, sort_keys=True)}  # lists and tuples are written alike

    a, b = flat(old.to_dict()), flat(new.to_dict())
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    shown = ', '.join(f'{key} was {a.get(key, "missing")}, is {b.get(key, "missing")}' for key in keys[:2])
    return shown + (f' and {len(keys) - 2} more' if len(keys) > 2 else '')


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
        files = [Run(root, paper, *member, seed).scores for member in members]
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
    dumps: dict[str, list[ScoreDump]] = {}
    chosen = table.select(args.rows)
    for row in table.rows:
        found = collect(root, paper, table, row, args.seeds, args.data)
        if isinstance(found, list):
            dumps[row.name] = found
            if table.preset is None:
                runs = [Run(root, paper, *paper.find(f'{table.name}/{row.name}'), seed) for seed in range(args.seeds)]
                measured = [json.loads(run.figures.read_text()) for run in runs if run.state == 'done']
                figures = measured_figures(measured, table.columns)
            else:
                figures = table_figures(found, table.columns, table.preset, args.resamples)
            found = Outcome(figures, len(found))
        if found.figures or row in chosen:
            outcomes[row.name] = found
    for a, b in table.compare:
        if table.preset and a in dumps and b in dumps and len(dumps[a]) == len(dumps[b]):
            difference = table_difference(dumps[a], dumps[b], table.columns, table.preset, args.resamples)
            pairs.append(Difference(a, b, difference))
    warnings = [MINI_NOTE] if args.data == 'mini' else []
    text, page = write_table(paper, table, outcomes, pairs, root / paper.name, warnings=warnings)
    print(text.read_text(encoding='utf-8'))
    print(f'written: {text}, {page}')


def needs(cfg: Config) -> list[str]:
    """Return what a config reads, and whether it is there."""
    dataset = cfg.train_dataloader.dataset
    found = [(dataset.get('data_root'), Path(dataset.get('data_root') or '.').expanduser())]
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
                        first_recipes.setdefault(recipe.config + str(recipe.options.get('model.backbone')), recipe)
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
    states = []
    for member in sources(paper, table, row):
        recipe = paper.recipe(member[1], args.data)
        if isinstance(recipe, str):
            return f'{published}  {recipe}'
        states += [Run(root, paper, *member, seed).state for seed in range(args.seeds)]
    return f'{published}  {states.count("done")} of {len(states)} runs done'


def find_paper(papers: dict[str, Paper], name: str) -> Paper:
    """Return a paper by its folder; raise ValueError that names the nearest."""
    if name not in papers:
        raise ValueError(f'no paper {name!r}{nearest(name, papers)}')
    return papers[name]


def plan(paper: Paper, table: Table, args: argparse.Namespace) -> list[tuple[Run, Recipe]]:
    """Return the runs that the chosen rows need, each once, one seed of all before the next."""
    root = args.work_dir / args.data
    runs: dict[Path, tuple[Run, Recipe]] = {}
    for seed in range(args.seeds):
        for row in table.select(args.rows):
            for member in sources(paper, table, row):
                recipe = paper.recipe(member[1], args.data)
                if isinstance(recipe, Recipe):
                    run = Run(root, paper, *member, seed)
                    runs.setdefault(run.folder, (run, recipe))
    return list(runs.values())


def show(runs: Sequence[tuple[Run, Recipe]], gpus: int) -> None:
    """Print the commands of what is not done."""
    for run, recipe in runs:
        print(f'{run.name}: {run.state}; configs/{recipe.config} and {len(recipe.options)} options')
        if run.state != 'done':
            for command in run.commands(gpus):
                print(f'  {shlex.join(command)}')


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
            show(runs, args.gpus)
            return 0
        for run, recipe in runs:
            with run.lock() as mine:
                if not mine:
                    print(f'{run.name}: another process is at it')
                    continue
                run.prepare(recipe, args.cfg_options, args.gpus)
                if run.state == 'done':
                    print(f'{run.name}: done')
                    continue
                print(f'{run.name}: {"goes on" if run.state == "started" else "starts"}, log in {run.log}', flush=True)
                run.execute(args.gpus)
        render(args.work_dir / args.data, paper, table, args)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
