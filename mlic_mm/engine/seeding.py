"""Randomness that depends on the place in a training, not on its history.

A stream of random numbers that runs through a whole training must be saved to continue it, in every worker process.
Here the stream starts anew before each sample and each step, seeded by (seed, rank, batch) and the place in the batch.
Nothing has to be saved, any checkpoint continues exactly, and the number of loader workers makes no difference.
"""

import copy
import random
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

__all__ = ['BatchSeeds', 'derive_seed', 'seed_everything', 'seed_samples']


def derive_seed(*key: int) -> int:
    """Hash non-negative integers to a seed of 32 bits. Neighbouring keys give unrelated seeds.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(0, 2)
        (True, False)
    """
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class _SeededIndex(int):
    """A sample's index with the seed of its augmentation."""

    seed: int

    def __new__(cls, index: int, seed: int) -> '_SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __reduce__(self) -> tuple:  # workers receive indices by pickle
        return _SeededIndex, (int(self), self.seed)


class _SeededSamples:
    """The data set as loader workers see it. It seeds the generators before each sample."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: _SeededIndex) -> Any:
        random.seed(index.seed)
        np.random.seed(index.seed)
        torch.default_generator.manual_seed(index.seed)  # the CPU's only, because workers must not use a GPU
        return self.dataset[int(index)]


class BatchSeeds:
    """Batch sampler that gives each index its seed.

    Attributes:
        batch: Number of the next batch, counted from the start of the training.
        skip: Number of batches to leave out of the next pass, because the training has had them.
    """

    def __init__(self, batch_sampler: Any, seed: int, rank: int) -> None:
        self.batch_sampler = batch_sampler
        self.seed, self.rank = seed, rank
        self.batch = self.skip = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[_SeededIndex]]:
        skip, self.skip = self.skip, 0
        for i, indices in enumerate(self.batch_sampler):
            if i < skip:
                continue
            key = (self.seed, self.rank, self.batch)
            self.batch += 1
            yield [_SeededIndex(index, derive_seed(*key, place)) for place, index in enumerate(indices)]


def seed_samples(loader: DataLoader, seed: int, rank: int) -> BatchSeeds:
    """Make a loader seed each sample, without a change that others see.

    ``loader.dataset`` and ``loader.batch_sampler`` stay as they are, because hooks look at them. The loader's iterators
    work on a copy of the loader that holds the seeding ones.
    """
    seeds = BatchSeeds(loader.batch_sampler, seed, rank)

    # With a cycle, the garbage collector would end the workers, and it closes their queues before it stops them.
    reference = weakref.ref(loader)

    def make_iterator() -> Any:
        seeded = copy.copy(reference())
        assert seeded is not None
        vars(seeded).update(dataset=_SeededSamples(seeded.dataset), batch_sampler=seeds)
        return type(seeded)._get_iterator(seeded)

    loader._get_iterator = make_iterator  # type: ignore[method-assign]
    return seeds
