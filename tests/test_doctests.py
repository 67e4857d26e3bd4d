"""Examples in docstrings run, and every class that a config can name has one."""

import doctest
import importlib
import os
import re
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from mlic_mm import registry

REPO = Path(__file__).resolve().parents[1]
MODULES = [
    '.'.join(path.relative_to(REPO).with_suffix('').parts).removesuffix('.__init__')
    for path in sorted((REPO / 'mlic_mm').rglob('*.py'))
    if re.search(r'>>> (?!.*doctest: \+SKIP)', path.read_text(encoding='utf-8')) and '.mim' not in path.parts
]
REGISTERED = {
    cls
    for room in vars(registry).values()
    if hasattr(room, 'module_dict') and room.scope == 'mlic_mm'
    for cls in room.module_dict.values()
}


@pytest.mark.parametrize('name', MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write files
    os.symlink(REPO / 'configs', 'configs')
    MMLogger.get_current_instance()  # made here: its lines must not be a part of what an example prints
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test, out=said.append)
    lacking = re.search(r'ImportError: (\w+.* needs (mmdet|the contrib build).*)', ''.join(said))
    if runner.failures and lacking:
        pytest.skip(lacking[1])
    assert not runner.failures, ''.join(said)


@pytest.mark.parametrize('cls', sorted(REGISTERED, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_every_class_of_a_config_has_an_example(cls: type) -> None:
    assert '>>> ' in (cls.__doc__ or ''), f'{cls.__module__}.{cls.__name__}'
