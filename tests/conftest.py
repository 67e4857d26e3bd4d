"""Shared fixtures: where the real photographs, labels and embeddings lie."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiers

from mlic_mm.label_graphs.data import LabelGraphData

REPO = Path(__file__).resolve().parents[1]
# ONNX Runtime's telemetry asks the network, and draws from the C library's random numbers, as selective search does.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder with ``VOCdevkit``, ``coco_mini``, ``coco2014_labels``, ``embeddings`` …; skips where it is absent."""
    root = Path(os.environ.get('MLIC_TEST_DATA', REPO.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(
            f'real data not found at {root}: set MLIC_TEST_DATA to the folder that holds VOCdevkit, coco_mini, …'
        )
    return root


@pytest.fixture(scope='session')
def graphs(tmp_path_factory) -> dict[int, str]:
    """A label graph file for each number of classes."""
    folder = tmp_path_factory.mktemp('graphs')
    rng = np.random.default_rng(0)
    files = {}
    for num_classes in (10, 20, 80):
        targets = (rng.random((300, num_classes)) < 0.3).astype(int)
        graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(num_classes)], threshold=0.3)
        vectors = rng.normal(size=(num_classes, 300))
        files[num_classes] = str(folder / f'{num_classes}.npz')
        LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 300, 0.3, vectors).save(files[num_classes])
    return files


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put back what a tool that runs in this process sets: torch would load no other checkpoint from then on."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


tiers.guard()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let tests do what their tier may do."""
    tiers.enter(tiers.tier_of(item))
    try:
        return (yield)
    finally:
        tiers.enter('process')
