"""Set-up: pins match requirements, doctor and import speak where packages are missing, make installs before it runs."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import mmengine.runner.checkpoint
import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mlic_mm import doctor

REPO = Path(__file__).resolve().parents[1]
TEMPLATES = REPO / 'mlic_mm' / 'visualization' / 'templates'
PYTHONS = ('3.10', '3.11', '3.12', '3.13')


def lines(name: str) -> list[Requirement]:
    text = (REPO / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    bare = [line.split('#')[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in bare if line and not line.startswith('-')]


def run(*command: object, env: dict[str, str] | None = None, cwd: Path = REPO) -> 'subprocess.CompletedProcess[str]':
    environment = {**os.environ, 'PYTHONPATH': str(REPO), **(env or {})}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=environment)


def without(folder: Path, *packages: str) -> list[str]:
    """Command of a Python that sees everything installed here but ``packages``: links to the rest, and no site."""
    for entry in Path(sysconfig.get_paths()['purelib']).iterdir():
        if entry.name.split('.')[0] not in packages and entry.name != '__pycache__':
            (folder / entry.name).symlink_to(entry)
    return ['env', f'PYTHONPATH={folder}{os.pathsep}{REPO}', sys.executable, '-S']


# --- requirements -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('python', PYTHONS)
@pytest.mark.parametrize('name', ['runtime', 'mm', 'detection', 'optional', 'tests', 'build', 'proposals'])
def test_every_requirement_is_pinned_once_and_within_its_range(name: str, python: str) -> None:
    here = {'python_version': python, 'python_full_version': f'{python}.9'}
    pins: dict[str, list[SpecifierSet]] = {}
    for pin in lines('lock'):
        if pin.marker is None or pin.marker.evaluate(here):
            pins.setdefault(canonicalize_name(pin.name), []).append(pin.specifier)
    for wanted in lines(name):
        if wanted.marker is not None and not wanted.marker.evaluate(here):
            continue
        found = pins.get(canonicalize_name(wanted.name), [])
        assert len(found) == 1, f'{wanted.name} has {len(found)} pins for Python {python} in requirements/lock.txt'
        version = str(found[0]).removeprefix('==')
        assert re.fullmatch(r'[\d.]+', version), f'{wanted.name}{found[0]} is no exact pin'
        assert version in wanted.specifier


def test_neither_line_of_the_openmmlab_packages_is_required_outright() -> None:
    def openmmlab(name: str) -> set[str]:
        return {line.name for line in lines(name) if re.match('(onedl-)?(mm|openmim)', line.name)}

    assert not openmmlab('runtime') | openmmlab('optional') | openmmlab('tests') | openmmlab('build')
    assert openmmlab('mm') == {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'}


def test_what_the_package_imports_is_required() -> None:
    distributions = {'PIL': 'pillow', 'sklearn': 'scikit-learn', 'cv2': 'onedl-mmcv', 'mmdet': 'onedl-mmdetection'}
    distributions |= {name: f'onedl-{name}' for name in ('mmengine', 'mmcv', 'mmpretrain')}
    required = {line.name for name in ('runtime', 'mm', 'detection', 'optional') for line in lines(name)}
    imported = set()
    for file in [*(REPO / 'mlic_mm').rglob('*.py'), *(REPO / 'tools').glob('*.py')]:
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split('.')[0])
    own = {'mlic_mm', *(file.stem for file in (REPO / 'tools').glob('*.py'))}
    foreign = imported - own - set(sys.stdlib_module_names)
    assert not {name for name in foreign if distributions.get(name, name.replace('_', '-')) not in required}


# --- doctor and import ------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_doctor_says_training_can_run_here() -> None:
    done = run(sys.executable, '-m', 'mlic_mm.doctor', '--json')
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert report['can_train'] is True
    found = {finding['name']: finding for finding in report['findings']}
    assert found['mmengine']['found'].startswith(mmengine.__version__)
    assert found['resume']['state'] == 'ok'


@pytest.mark.process
def test_doctor_works_without_torch_and_never_advises_to_mix_the_two_lines(tmp_path: Path) -> None:
    done = run(*without(tmp_path, 'torch', 'mmpretrain'), '-m', 'mlic_mm.doctor')
    assert done.returncode == 1, done.stderr
    assert re.search(r"missing +torch +ModuleNotFoundError: No module named 'torch'", done.stdout)
    assert re.search(r'missing +mmpretrain .*\n +-> install it from the same line', done.stdout)
    assert 'Training cannot run' in done.stdout


@pytest.mark.process
def test_doctor_without_openmmlab_names_the_extra(tmp_path: Path) -> None:
    names = ('mmengine', 'mmcv', 'mmpretrain')
    done = run(*without(tmp_path, 'torch', 'mmdet', *names), '-m', 'mlic_mm.doctor', '--json')
    assert done.returncode == 1, done.stderr
    found = {finding['name']: finding for finding in json.loads(done.stdout)['findings']}
    assert all(found[name]['state'] == 'missing' and "'.[mm]'" in found[name]['cure'] for name in names)
    assert found['mmdet']['state'] == 'absent'
    assert found['numpy']['state'] == 'ok'


@pytest.mark.process
def test_doctor_notes_an_mmengine_that_cannot_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original line leaves ``weights_only`` to torch, which from 2.6 on refuses what a checkpoint holds."""

    def load(file: str, map_location: str | None = None, **_: object) -> object:
        return torch.load(file, map_location, weights_only=True)

    assert doctor._probe('resume', 'note', doctor._resume).state == 'ok'
    monkeypatch.setattr(mmengine.runner.checkpoint, '_safe_torch_load', load)
    finding = doctor._probe('resume', 'note', doctor._resume)
    assert finding.state == 'note'
    assert 'torch < 2.6' in finding.cure
    assert doctor.can_train([finding])


@pytest.mark.process
def test_import_without_openmmlab_says_what_to_install(tmp_path: Path) -> None:
    done = run(*without(tmp_path, 'mmcv', 'mmpretrain'), '-c', 'import mlic_mm')
    assert done.returncode != 0
    assert 'ImportError: mlic_mm needs' in done.stderr
    assert 'not installed: mmcv, mmpretrain.' in done.stderr
    assert 'mlic_mm[mm]' in done.stderr


@pytest.mark.process
def test_import_works_without_mmdet_and_registers_every_part(tmp_path: Path) -> None:
    code = (
        'import sys\n'
        'sys.modules["mmcv._ext"] = None\n'  # as in an install without compiled ops
        'import mlic_mm\n'
        'from mlic_mm.registry import DATASETS, METRICS, MODELS\n'
        'assert "COCOMultiLabel" in DATASETS and "MLICMetric" in METRICS and "DeepLIFTHead" in MODELS\n'
        'heavy = {"mmdet", "sklearn", "matplotlib.pyplot", "timm"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    done = run(*without(tmp_path, 'mmdet', 'timm'), '-c', code)
    assert done.returncode == 0, done.stderr


# --- make and tools ---------------------------------------------------------------------------------------------------


def make(*args: str) -> 'subprocess.CompletedProcess[str]':
    return run('make', '--no-print-directory', *args)


@pytest.mark.process
def test_the_two_commands_install_before_they_run() -> None:
    demo, test = make('-n', 'demo').stdout, make('-n', 'test').stdout
    assert 0 < demo.index('setup_env.py demo') < demo.index('.venv/bin/python tools/demo.py')
    assert 0 < test.index('setup_env.py test') < test.index(".venv/bin/python -m pytest -q -m 'not process'")


@pytest.mark.process
def test_an_old_or_missing_python_is_named(tmp_path: Path) -> None:
    old = tmp_path / 'python 3.9'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.18" && exit 0\nexit 1\n')
    old.chmod(0o755)
    for name, said in ((str(old), 'is Python 3.9.18'), ('no-such-python', 'not found')):
        done = make('env-demo', f'PYTHON={name}')
        assert done.returncode != 0
        assert 'needs Python 3.10 or newer' in done.stderr
        assert said in done.stderr
        assert 'PYTHON=python3.11' in done.stderr


def copy_of_repo(folder: Path) -> Path:
    """The files that set-up reads, without the environment that may be here."""
    parts = ('requirements', 'tools', 'mlic_mm', 'configs')
    for part in parts:
        shutil.copytree(REPO / part, folder / part, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for file in (
        'setup.py',
        'pyproject.toml',
        'MANIFEST.in',
        'README.md',
        'LICENSE',
        'CHANGELOG.md',
        'model-index.yml',
    ):
        shutil.copy(REPO / file, folder / file)
    return folder


@pytest.mark.process
def test_an_environment_of_the_users_is_left_alone(tmp_path: Path) -> None:
    clone = copy_of_repo(tmp_path / 'clone')
    theirs = clone / '.venv' / 'pyvenv.cfg'
    theirs.parent.mkdir()
    theirs.write_text('mine')
    done = run(sys.executable, clone / 'tools' / 'setup_env.py', 'demo', cwd=clone)
    assert done.returncode == 1
    assert 'was not made by this script' in done.stderr
    assert theirs.read_text() == 'mine'
    assert list(theirs.parent.iterdir()) == [theirs]


@pytest.mark.process
def test_a_stamp_answers_for_everything_that_was_installed_from(tmp_path: Path) -> None:
    clone = copy_of_repo(tmp_path / 'clone')
    code = 'import setup_env as s; print(s.fingerprint(s.STAGES["demo"]))'

    def fingerprint() -> str:
        return run(sys.executable, '-c', code, cwd=clone / 'tools').stdout

    before = fingerprint()
    assert len(before.strip()) == 64
    assert fingerprint() == before
    for file in ('requirements/lock.txt', 'requirements/mm.txt', 'setup.py'):
        with (clone / file).open('a') as stream:
            stream.write('# changed\n')
        assert fingerprint() != before, file
        before = fingerprint()
    (clone / 'requirements' / 'tests.txt').write_text('')
    assert fingerprint() == before, 'the demo does not install the test tools'


def test_the_demos_words_are_the_labels_of_the_digits() -> None:
    rows = [row.split() for row in (REPO / 'tools' / 'demo_words.txt').read_text(encoding='utf-8').splitlines()]
    assert [row[0] for row in rows] == ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
    assert {len(row) for row in rows} == {51}
    assert len({tuple(row[1:]) for row in rows}) == 10


def test_ci_and_make_name_no_folder_of_one_machine() -> None:
    for file in ('Makefile', '.ci/run', 'tools/setup_env.py', 'tools/demo.py', 'setup.py', 'README.md'):
        assert not re.search(r'(?<![\w.])/(work|home|root|opt|tmp)/', (REPO / file).read_text(encoding='utf-8')), file


# --- the installed package --------------------------------------------------------------------------------------------


@pytest.mark.process
def test_wheel_and_sdist_carry_what_mim_and_the_report_need(tmp_path: Path) -> None:
    clone = copy_of_repo(tmp_path / 'clone')
    wheels = tmp_path / 'wheels'
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    built = run(sys.executable, 'setup.py', '-q', 'sdist', '--dist-dir', wheels, cwd=clone)
    assert built.returncode == 0, built.stderr
    sdist = next(wheels.glob('*.tar.gz'))
    built = run(*pip, 'wheel', '--no-deps', '--wheel-dir', wheels, sdist, cwd=tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    names = set(zipfile.ZipFile(next(wheels.glob('*.whl'))).namelist())
    for part in ('configs/deeplift_coco.py', 'tools/train.py', 'tools/dist_train.sh', 'model-index.yml'):
        assert f'mlic_mm/.mim/{part}' in names
    templates = {f'mlic_mm/visualization/templates/{file.name}' for file in TEMPLATES.iterdir()}
    assert templates
    assert templates <= names
    assert not [name for name in names if name.endswith('.pyc') or name.startswith(('tests', 'configs'))]
    assert not (clone / 'mlic_mm' / '.mim').exists(), 'building a wheel must leave the source as it was'


@pytest.mark.process
def test_pep660_editable_install_has_mim_files(tmp_path: Path) -> None:
    clone = copy_of_repo(tmp_path / 'clone')
    target = tmp_path / 'site'
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    # Without --ignore-installed pip would uninstall the package from the environment that runs this test.
    done = run(*pip, 'install', '--no-deps', '--ignore-installed', '--prefix', target, '--editable', '.', cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    mim = clone / 'mlic_mm' / '.mim'
    for part in ('configs/deeplift_coco.py', 'tools/train.py', 'model-index.yml'):
        assert (mim / part).is_file()
    (clone / 'configs' / 'new.py').write_text('a = 1\n')
    assert (mim / 'configs' / 'new.py').is_file(), 'an editable install follows the source'
    site = next(target.rglob('site-packages'))
    code = f'import site; site.addsitedir({str(site)!r}); from importlib.util import find_spec; '
    code += 'print(find_spec("mlic_mm").origin)'
    # -S: without the packages of this environment, whose own editable install would come first.
    done = run(sys.executable, '-S', '-c', code, cwd=tmp_path, env={'PYTHONPATH': ''})
    assert done.stdout.splitlines()[-1:] == [str(clone / 'mlic_mm' / '__init__.py')], done.stderr
