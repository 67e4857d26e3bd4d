"""One row of a table with one seed: its folder, its config, what it needs first, and how it is run."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mlic_mm.cli.command import StopSignal
from mlic_mm.config_files.config_file import read_config
from mlic_mm.evaluation import ScoreDump
from mlic_mm.reproduction.paper_tables import Paper, Recipe, Row, Table
from mlic_mm.safe_load.checkpoint import find_resumable
from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.folder_lock import FolderInUseError, lock_folder

REPO = Path(__file__).resolve().parents[1]


class Run:
    """One row with one seed, in a folder of its own: config, checkpoints, log and scores.

    Args:
        root: Folder of all runs on these data.
        paper, table, row: What to run.
        data: ``'full'`` or ``'mini'``.
        seed: From 0.
    """

    def __init__(self, root: Path, paper: Paper, table: Table, row: Row, data: str, seed: int) -> None:
        self.name = f'{paper.name}/{table.name}/{row.name} seed {seed}'
        self.folder = root / paper.name / table.name / row.name.replace('/', '_').replace(' ', '_') / f'seed{seed}'
        # Not in the folder itself, where the runner writes what it made of the config.
        self.config = self.folder / 'given' / 'config.py'
        self.test_config = self.config.with_name('test_config.py')
        self.scores, self.log = self.folder / 'scores.npz', self.folder / 'log.txt'
        self.figures = self.folder / 'figures.json'
        self._whole: list[tuple[int, int]] = []  # times and sizes of scores and figures that could be read
        self._lock: int | None = None
        self.paper, self.row, self.data, self.seed = paper, row, data, seed
        self.needed = {
            folder: Run(root, paper, *source, data, seed) for folder, source in paper.rows_before(row, data).items()
        }

    @property
    def recipe(self) -> Recipe:
        """How it is trained.

        Raises:
            ValueError: It is not.
        """
        recipe = self.paper.recipe(self.row, self.data)
        if isinstance(recipe, str):
            raise ValueError(f'{self.name}: {recipe}')
        return recipe

    @property
    def state(self) -> str:
        """``done``: scores and figures can be read; ``started``: there is a checkpoint to go on from; or ``open``."""
        if self.scores.exists() and self.figures.exists() and self._is_whole():
            return 'done'
        return 'started' if self.config.exists() and find_resumable(self.folder)[0] else 'open'

    def _is_whole(self) -> bool:
        seen = [(file.stat().st_mtime_ns, file.stat().st_size) for file in (self.scores, self.figures)]
        if self._whole != seen:
            try:
                ScoreDump.load(self.scores, paths=False)
                json.loads(self.figures.read_text(encoding='utf-8'))
            except (ValueError, OSError) as error:
                print(f'{self.name}: cannot be read, tested again: {error}', file=sys.stderr)
                return False
            self._whole = seen
        return True

    def prepare(self, options: dict[str, Any] | None, gpus: int) -> None:
        """Write the config, or check that it is still the one the run was begun with."""
        given = self.paper.build(self.recipe, options)
        given.randomness = {**given.get('randomness', {}), 'seed': self.seed}
        if gpus > 1:
            share_batch(given, gpus)
        cfg = self._handed_over(given, options)
        if self.state != 'open':
            changed = differences(read_config(self.config), cfg)
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
        given.merge_from_dict(dict(self.recipe.test_options))
        write_config(self._handed_over(given, options), self.test_config)

    def _handed_over(self, cfg: Config, options: dict[str, Any] | None) -> Config:
        """Return a config in which the runs that this one needs have taken the place of the folders named.

        Raises:
            ValueError: Nothing names one of the folders.
        """
        if not self.needed:
            return cfg
        places = self._places(options)
        parts = [cfg.to_dict(), list(self.recipe.before)]
        for folder in self.needed:
            if replaced(parts, {folder: places[folder]}) == parts:
                raise ValueError(
                    f'{self.name} is run after {self.recipe.after[folder]!r}, but neither configs/{self.recipe.config} '
                    f'nor its commands name the folder {folder!r}: name it there, or take it out of after'
                )
        return Config(replaced(parts[0], places))

    def _places(self, options: dict[str, Any] | None) -> dict[str, tuple[Path, Path, Path]]:
        """Folder, config and last checkpoint of the runs that this one needs, by the folder that its config names."""
        places = {}
        for folder, run in self.needed.items():
            epochs = self.paper.build(run.recipe, options).train_cfg.max_epochs
            places[folder] = (run.folder, run.config, run.folder / f'epoch_{epochs}.pth')
        return places

    def commands_before(self, options: dict[str, Any] | None) -> list[list[str]]:
        """Return what is to be run when the runs that this one needs are done."""
        lines = replaced(list(self.recipe.before), self._places(options))
        return [[sys.executable, str(REPO / 'tools' / tool), *words] for tool, *words in map(shlex.split, lines)]

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

    def bring(self, options: dict[str, Any] | None, gpus: int, *, wait: bool = False) -> None:
        """Run what is not done, and first the runs that it needs.

        Args:
            options: Those of the command line, for every row.
            gpus: Processes of a run.
            wait: Where another process is at it, wait for its end, and run what it left undone.
        """
        with self.lock(wait) as mine:
            if not mine:
                print(f'{self.name}: another process is at it')
                return
            self.prepare(options, gpus)
            if self.state == 'done':
                if not wait:
                    print(f'{self.name}: done')
                return
            for run in self.needed.values():
                run.bring(options, gpus, wait=True)
            for command in self.commands_before(options):
                # One process at a time, since others may need the same.
                with next(iter(self.needed.values())).lock(wait=True):
                    self._call(command)
            print(f'{self.name}: {"goes on" if self.state == "started" else "starts"}, log in {self.log}', flush=True)
            self.execute(gpus)

    def execute(self, gpus: int) -> None:
        """Train and test, with the output in the log."""
        train, test = self.commands(gpus)
        self._call(train)
        checkpoint, _ = find_resumable(self.folder)
        if checkpoint is None:
            raise ValueError(f'{self.name}: the training ended without a checkpoint in {self.folder}; see {self.log}')
        if self.scores.exists():  # of a test that was stopped; a test keeps the file it is to write
            os.replace(self.scores, self.scores.with_name('scores_incomplete.npz'))
        self._call([word.replace('{checkpoint}', str(checkpoint)) for word in test])

    def _call(self, command: list[str]) -> None:
        with self.log.open('a', encoding='utf-8') as log:
            print(f'$ {shlex.join(command)}', file=log, flush=True)
            env = {'PORT': str(free_port()), **os.environ, 'PYTHON': sys.executable}
            # The child holds the lock, too: where this process is killed, nobody begins a second training beside it.
            held = () if self._lock is None else (self._lock,)
            with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, pass_fds=held) as child:
                try:
                    code = child.wait()
                except KeyboardInterrupt as stop:
                    _stop(child, stop)
                    raise
        if code:
            lines = self.log.read_text(errors='replace').strip().splitlines()
            last = next((line for line in reversed(lines) if 'error: ' in line), lines[-1]).removeprefix('error: ')
            raise ValueError(f'{self.name} failed with exit status {code}: {last}; all output: {self.log}')

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[bool]:
        """Whether this process may run it; the lock goes with the process."""
        with ExitStack() as stack:
            try:
                self._lock = stack.enter_context(lock_folder(self.folder, '.lock'))
            except FolderInUseError:
                if not wait:
                    yield False
                    return
                print(f'{self.name}: waiting for another process to end with it', flush=True)
                self._lock = stack.enter_context(lock_folder(self.folder, '.lock', wait=True))
            stack.callback(setattr, self, '_lock', None)
            yield True


def _stop(child: subprocess.Popen, stop: KeyboardInterrupt) -> None:
    """End a child as this process is ended: Ctrl-C in a terminal has reached it as well, other signals have not."""
    if isinstance(stop, StopSignal):
        child.terminate()
    try:
        child.wait(60)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()


def replaced(node: Any, places: dict[str, tuple[Path, Path, Path]]) -> Any:
    """Return nested data in whose strings folders, configs in them and checkpoints in them are others.

    Args:
        node: Dictionaries, lists, tuples, strings and anything else.
        places: New folder, config and checkpoint, by old folder.
    """
    if isinstance(node, dict):
        return {key: replaced(part, places) for key, part in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(replaced(part, places) for part in node)
    if not isinstance(node, str):
        return node
    for old, (folder, config, checkpoint) in places.items():
        path = rf'(?<![\w./-]){re.escape(old)}'
        node = re.sub(rf'{path}/{re.escape(Path(old).name)}\.py(?!\S)', str(config), node)
        node = re.sub(rf'{path}/epoch_\d+\.pth(?!\S)', str(checkpoint), node)
        node = re.sub(rf'{path}(?=/|\s|$)', str(folder), node)
    return node


def write_config(cfg: Config, path: Path) -> None:
    """Write a config, whole or not at all."""
    with atomic_write(path) as part:
        part.write_text(cfg.pretty_text, encoding='utf-8')


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
