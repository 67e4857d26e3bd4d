"""Proposals of many images in parts: several processes write them, and a run that was stopped goes on."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

import torch
from progress import Bar

from mlic_mm.datasets import LoadImage
from mlic_mm.datasets.proposal_file import VERSION, Entry, ProposalFile, write_proposal_file
from mlic_mm.models.patch_generators import PatchGenerator
from mlic_mm.utils.atomic_write import atomic_write

PART = 32
"""Images in a part: what a stop may cost each worker."""


class Images(NamedTuple):
    """The images of a data set.

    Attributes:
        paths: Path by image id.
        objects: Boxes ``(G, 4)`` by image id, without difficult and crowd ones; empty where the data have none.
        dataset: What the file says of it.
        loader: Reads an image.
    """

    paths: dict[str, str]
    objects: dict[str, torch.Tensor]
    dataset: dict[str, Any]
    loader: LoadImage


def prepare(folder: Path, images: Images, generator: PatchGenerator, force: bool) -> None:
    """Make ``folder`` for the parts, or check that those in it belong to this run."""
    settings = json.loads(
        json.dumps(
            dict(
                generator=generator.settings,
                dataset=images.dataset,
                images=hashlib.sha256('\n'.join(images.paths).encode()).hexdigest(),
                part=PART,
                version=VERSION,
            )
        )
    )
    file = folder / 'settings.json'
    if folder.exists() and not file.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} exists and was not made by this tool; move it away, or choose another --out')
    if file.exists() and force:
        shutil.rmtree(folder)
    if file.exists():
        try:
            before = json.loads(file.read_text())
        except ValueError:
            before = {}
        if differing := [key for key in settings if settings[key] != before.get(key)]:
            key = differing[0]
            raise ValueError(
                f'{folder} was begun with {key} {before.get(key)}, this run has {settings[key]}: go on with the same '
                'settings, delete the folder, or begin anew with --force'
            )
    with atomic_write(file) as part:
        part.write_text(json.dumps(settings))


def split_parts(images: Images, folder: Path) -> list[tuple[Path, list[str]]]:
    """Return the file and the image ids of each part."""
    ids = list(images.paths)
    return [(folder / f'{first:08d}.st', ids[first : first + PART]) for first in range(0, len(ids), PART)]


def is_done(file: Path, ids: list[str]) -> bool:
    """Whether a part is there and whole; one cut short is done again."""
    try:
        return ProposalFile(file).ids == ids
    except (ValueError, FileNotFoundError):
        return False


def generate(parts: list[tuple[Path, list[str]]], images: Images, generator: PatchGenerator, workers: int) -> None:
    """Write the parts that are missing, in ``workers`` processes."""
    missing = [part for part in parts if not is_done(*part)]
    before = len(images.paths) - sum(len(ids) for _, ids in missing)
    if before:
        print(f'{before} of {len(images.paths)} images were done before', flush=True)
    context = multiprocessing.get_context('fork')  # the generator and the lists are shared, not copied
    taken, done = context.Value('q', 0), context.Value('q', before)
    troubles = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(missing, images, generator, taken, done, troubles), daemon=True)
        for _ in range(min(workers, len(missing)))
    ]
    try:
        for process in processes:
            process.start()
        with Bar('images') as bar:
            while any(process.is_alive() for process in processes):
                bar.update(done.value, len(images.paths))
                if any(process.exitcode for process in processes):
                    break
                time.sleep(0.1)
            bar.update(done.value, len(images.paths))
            for process in processes:
                if process.exitcode:
                    raise ValueError(
                        troubles.get()
                        if not troubles.empty()
                        else f'a worker ended with status {process.exitcode}; if memory ran out, take fewer --workers. '
                        'The same command goes on from here'
                    )
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join()


def _work(
    parts: list[tuple[Path, list[str]]],
    images: Images,
    generator: PatchGenerator,
    taken: 'Synchronized[int]',
    done: 'Synchronized[int]',
    troubles: 'SimpleQueue[str]',
) -> None:
    """Write one part after the other until none is left or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends this process
    parent = os.getppid()
    try:
        while True:
            with taken.get_lock():
                number = taken.value
                taken.value += 1
            if number >= len(parts):
                return
            entries: list[Entry] = []
            for img_id in parts[number][1]:
                results = images.loader.transform(dict(img_path=images.paths[img_id]))
                if results is None:
                    raise ValueError(f'{images.paths[img_id]}: cannot be read any more; start again')
                entries.append((img_id, results['ori_shape'], *generator(results['img'])))
                with done.get_lock():
                    done.value += 1
                if os.getppid() != parent:
                    return
            write_proposal_file(parts[number][0], entries, generator.settings, images.dataset)
    except Exception as error:
        troubles.put(f'{error}' if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {error}')
        sys.exit(1)


def merged(parts: list[tuple[Path, list[str]]]) -> Iterator[Entry]:
    """Yield what the parts hold; rounding is not repeated, a rounded box rounds to itself."""
    for path, ids in parts:
        part = ProposalFile(path)
        for img_id in ids:
            yield (img_id, part.size(img_id), *part[img_id])
