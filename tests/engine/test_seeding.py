"""What a sample and a step draw depends on seed, rank and place, and on nothing else."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mlic_mm.engine.seeding import derive_seed, seed_samples


class Draws:
    """Samples that are their index and one number of each generator."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> list[float]:
        assert type(index) is int
        return [index, random.random(), np.random.rand(), torch.rand(()).item()]


def draws(workers: int = 0, *, seed: int = 1, rank: int = 0, batch: int = 0, skip: int = 0, epochs: int = 2) -> list:
    loader = DataLoader(Draws(), batch_size=2, num_workers=workers, persistent_workers=workers > 0, collate_fn=list)
    seeds = seed_samples(loader, seed, rank)
    assert isinstance(loader.dataset, Draws)
    seeds.batch, seeds.skip = batch, skip
    return [list(loader) for _ in range(epochs)]


@pytest.mark.integration
def test_workers_and_interruptions_make_no_difference() -> None:
    first, second = draws()
    assert draws(workers=2) == [first, second]  # persistent workers, which live through both epochs
    assert draws(batch=4, epochs=1) == [second]
    assert draws(batch=6, skip=2, epochs=1) == [second[2:]]
    assert draws(batch=8, skip=4, epochs=1) == [[]]


def test_every_generator_sample_epoch_rank_and_seed_differs() -> None:
    numbers = [
        number
        for settings in ({}, {'seed': 2}, {'rank': 1})
        for epoch in draws(**settings)
        for batch in epoch
        for sample in batch
        for number in sample[1:]
    ]
    assert len(numbers) == 3 * 2 * 7 * 3
    assert len(set(numbers)) == len(numbers)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
def test_derived_seeds_fit_every_generator(key: list[int]) -> None:
    assert 0 <= derive_seed(*key) < 2**32
    assert derive_seed(*key) == derive_seed(*key)


def test_step_never_shares_a_seed_with_a_sample() -> None:
    """NumPy pads keys with zeros, so that keys of other lengths need more than a zero to differ."""
    assert derive_seed(3, 0, 5, 0) == derive_seed(3, 0, 5)
    samples = {derive_seed(3, 0, batch, place) for batch in range(50) for place in range(16)}
    steps = {derive_seed(3, 0, iteration, 0, 1) for iteration in range(50)}
    assert len(samples) == 800
    assert len(steps) == 50
    assert not samples & steps


@pytest.mark.integration
def test_workers_stop_with_their_loader() -> None:
    loader = DataLoader(Draws(), batch_size=2, num_workers=1, persistent_workers=True)
    seed_samples(loader, 0, 0)
    list(loader)
    (worker,) = loader._iterator._workers
    del loader
    assert not worker.is_alive()  # at once, and not when garbage is collected
    assert worker.exitcode == 0


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_stays_what_others_look_into(workers: int) -> None:
    loader = DataLoader(Draws(), batch_size=2, num_workers=workers)
    batch_sampler = loader.batch_sampler
    seed_samples(loader, 0, 0)
    assert loader.batch_sampler is batch_sampler
    assert len(loader) == 4
