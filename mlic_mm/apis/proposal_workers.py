"""Several processes that generate proposals."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized

from mlic_mm.datasets.proposals.proposal_file import Entry
from mlic_mm.datasets.proposals.proposal_parts import ProposalParts
from mlic_mm.models.patch_generators import PatchGenerator
from mlic_mm.utils.progress import Bar

from .proposal_images import ProposalImages

__all__ = ['generate_parts']


def generate_parts(parts: ProposalParts, images: ProposalImages, generator: PatchGenerator, workers: int) -> None:
    """Write the parts that are missing, in several processes.

    Args:
        parts: Where they are written.
        images: The images.
        generator: Finds proposals in an image.
        workers: Number of processes.

    Raises:
        ValueError: A worker failed. What is finished is kept.
    """
    missing = parts.missing()
    total = len(images.paths)
    before = total - sum(len(parts.ids_of(number)) for number in missing)
    if before:
        print(f'{before} of {total} images were done before', flush=True)
    context = multiprocessing.get_context('fork')  # the generator and the lists are shared, not copied
    taken, done = context.Value('q', 0), context.Value('q', before)
    troubles = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(missing, parts, images, generator, taken, done, troubles), daemon=True)
        for _ in range(min(workers, len(missing)))
    ]
    try:
        for process in processes:
            process.start()
        with Bar('images') as bar:
            while any(process.is_alive() for process in processes):
                bar.update(done.value, total)
                if any(process.exitcode for process in processes):
                    break
                time.sleep(0.1)
            bar.update(done.value, total)
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
    numbers: Sequence[int],
    parts: ProposalParts,
    images: ProposalImages,
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
                turn = taken.value
                taken.value += 1
            if turn >= len(numbers):
                return
            entries: list[Entry] = []
            for img_id in parts.ids_of(numbers[turn]):
                results = images.loader.transform(dict(img_path=images.paths[img_id]))
                if results is None:
                    raise ValueError(f'{images.paths[img_id]}: cannot be read any more; start again')
                entries.append((img_id, results['ori_shape'], *generator(results['img'])))
                with done.get_lock():
                    done.value += 1
                if os.getppid() != parent:
                    return
            parts.write(numbers[turn], entries)
    except Exception as error:
        troubles.put(f'{error}' if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {error}')
        sys.exit(1)
