"""Shared fixtures: where the real photographs, labels and embeddings lie."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder with ``VOCdevkit``, ``coco_mini``, ``coco2014_labels``, ``embeddings`` …; skips where it is absent."""
    root = Path(os.environ.get('MLIC_TEST_DATA', REPO.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(
            f'real data not found at {root}: set MLIC_TEST_DATA to the folder that holds VOCdevkit, coco_mini, …'
        )
    return root
