"""A runner in this process, for hooks that refuse to run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yapf.yapflib.yapf_api
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_run import skip_pretty_printing, write_config

from mlic_mm.engine.launch import build_runner
from mlic_mm.engine.run_config import load_config


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp('data'), extra="train_cfg['max_epochs'] = 2\n")


@pytest.fixture
def runner(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runner]:
    """Build a runner; keyword ``change`` edits the config, others are merged into it (``a__b`` is ``a.b``)."""

    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', yapf.yapflib.yapf_api.FormatCode)  # put back afterwards
    skip_pretty_printing()

    def build(change: Callable[[Config], None] = lambda cfg: None, **options: Any) -> Runner:
        options = {name.replace('__', '.'): value for name, value in options.items()}
        cfg = load_config(tiny_config, options, str(tmp_path / 'work'))
        cfg.experiment_name = str(tmp_path)  # mmengine keeps one logger for each name
        change(cfg)
        return build_runner(cfg, 'none')

    return build
