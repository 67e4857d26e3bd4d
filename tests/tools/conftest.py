"""One finished training, shared by the tests of the tools."""

from pathlib import Path

import pytest
from run_tool import run_tool
from tiny_run import write_config


@pytest.fixture(scope='session')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``data/tiny config.py`` and the run ``full`` of three epochs; tests must not change it."""
    root = tmp_path_factory.mktemp('with space')
    write_config(root / 'data')
    # Relative paths, from another folder than the repository.
    (root / 'log.txt').write_text(run_tool('train', 'data/tiny config.py', '--work-dir', 'full', cwd=root))
    return root


@pytest.fixture
def config(trained: Path) -> Path:
    return trained / 'data/tiny config.py'
