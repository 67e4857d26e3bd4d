"""One row of a table with one seed: its folder, its config, what it requires, and how it is run."""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.evaluation import ScoreDump
from mlic_mm.safe_load.checkpoint import find_resumable
from mlic_mm.utils.clone import CLONE
from mlic_mm.utils.folder_lock import FolderInUseError, lock_folder

from .call import call_logged
from .given_config import compare_configs, share_batch, write_config
from .handover import Place, hand_over
from .paper import Paper
from .recipe import Recipe
from .row import Row
from .table import Table

__all__ = ['Run']

Options = Mapping[str, Any] | None


class Run:
    """One row with one seed, in a folder of its own: config, checkpoints, log and scores.

    Args:
        root: Folder of all runs on these data.
        paper: The paper of the row.
        table: The table of the row.
        row: What to run.
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
        self.required = {
            folder: Run(root, paper, *source, data, seed) for folder, source in paper.required_rows(row, data).items()
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
    def state(self) -> Literal['done', 'started', 'open']:
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

    def prepare(self, options: Options, gpus: int) -> None:
        """Write the config, or check that it is still the one that the run was begun with.

        Args:
            options: Settings of every config to override, by dotted keys.
            gpus: Processes of a run.

        Raises:
            ValueError: The run was begun with another config, or the batch does not divide among the GPUs.
        """
        given = self.paper.build(self.recipe, options)
        given.randomness = {**given.get('randomness', {}), 'seed': self.seed}
        if gpus > 1:
            share_batch(given, gpus)
        cfg = self._handed_over(given, options)
        if self.state != 'open':
            changed = compare_configs(read_config(self.config), cfg)
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

    def _handed_over(self, cfg: Config, options: Options) -> Config:
        """Return a config in which the required runs have replaced the folders that it names.

        Raises:
            ValueError: Nothing names one of the folders.
        """
        if not self.required:
            return cfg
        places = self._places(options)
        parts = [cfg.to_dict(), list(self.recipe.setup)]
        for folder in self.required:
            if hand_over(parts, {folder: places[folder]}) == parts:
                raise ValueError(
                    f'{self.name} requires {self.recipe.requires[folder]!r}, but neither configs/{self.recipe.config} '
                    f'nor its commands name the folder {folder!r}: name it there, or take it out of requires'
                )
        return Config(hand_over(parts[0], places))

    def _places(self, options: Options) -> dict[str, Place]:
        """Return where the required runs are, by the folder that the config names."""
        places = {}
        for folder, run in self.required.items():
            epochs = self.paper.build(run.recipe, options).train_cfg.max_epochs
            places[folder] = Place(run.folder, run.config, run.folder / f'epoch_{epochs}.pth')
        return places

    def setup_commands(self, options: Options) -> list[list[str]]:
        """Return the commands between the required runs and this one."""
        lines = hand_over(list(self.recipe.setup), self._places(options))
        return [[sys.executable, str(CLONE / 'tools' / tool), *words] for tool, *words in map(shlex.split, lines)]

    def commands(self, gpus: int) -> tuple[list[str], list[str]]:
        """Return how to train and how to test. The checkpoint is known only after the training."""
        folder, scores = str(self.folder), str(self.scores)
        rest = ['--work-dir', folder]
        tools = CLONE / 'tools'
        if gpus > 1:
            train = [str(tools / 'dist_train.sh'), str(self.config), str(gpus)]
            test = [str(tools / 'dist_test.sh'), str(self.test_config), '{checkpoint}', str(gpus)]
        else:
            train = [sys.executable, str(tools / 'train.py'), str(self.config)]
            test = [sys.executable, str(tools / 'test.py'), str(self.test_config), '{checkpoint}']
        # Without a whole checkpoint there is nothing to go on from; train.py moves what is there aside.
        resume = ['--resume'] if self.state == 'started' else []
        return [*train, *rest, *resume], [*test, *rest, '--no-report', '--figures', str(self.figures), '--out', scores]

    def bring(self, options: Options, gpus: int, *, wait: bool = False) -> None:
        """Run what is not done, and first the runs that this one requires.

        Args:
            options: Settings of every config to override, by dotted keys.
            gpus: Processes of a run.
            wait: If another process is at it, wait for its end, and run what it left undone.

        Raises:
            ValueError: See :meth:`prepare`; or a command failed.
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
            for run in self.required.values():
                run.bring(options, gpus, wait=True)
            for command in self.setup_commands(options):
                # One process at a time, since others may need the same.
                with next(iter(self.required.values())).lock(wait=True):
                    self._call(command)
            print(f'{self.name}: {"goes on" if self.state == "started" else "starts"}, log in {self.log}', flush=True)
            self.execute(gpus)

    def execute(self, gpus: int) -> None:
        """Train and test, with the output in the log.

        Raises:
            ValueError: A command failed, or the training left no checkpoint.
        """
        train, test = self.commands(gpus)
        self._call(train)
        checkpoint, _ = find_resumable(self.folder)
        if checkpoint is None:
            raise ValueError(f'{self.name}: the training ended without a checkpoint in {self.folder}; see {self.log}')
        if self.scores.exists():  # of a test that was stopped; a test keeps the file it is to write
            os.replace(self.scores, self.scores.with_name('scores_incomplete.npz'))
        self._call([word.replace('{checkpoint}', str(checkpoint)) for word in test])

    def _call(self, command: list[str]) -> None:
        call_logged(command, self.log, self.name, held=self._lock)

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[bool]:
        """Yield whether this process may run it. The lock goes with the process."""
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
