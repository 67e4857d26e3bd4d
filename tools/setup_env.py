"""Make ``.venv``: pinned packages for the demo, or those plus mmdet, mmcv's ops, OpenCV's contrib and the tests.

Run by ``make demo`` and ``make test`` with any Python >= 3.10; standard library only. A stage leaves a stamp when it
has succeeded, so an interrupted run goes on where it was and a second one does nothing; a change of what a stamp was
made from (requirements, setup.py, Python) runs the stage again.
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

from progress import Bar, clock, stage

REPO = Path(__file__).resolve().parents[1]
VENV = REPO / '.venv'
PYTHON = VENV / 'bin' / 'python'
MARK = VENV / '.made-by-mlic_mm'
WHEELS = REPO / '.cache' / 'wheels'
MMCV = next(
    line for line in (REPO / 'requirements' / 'mm.txt').read_text('utf-8').splitlines() if line.startswith('onedl-mmcv')
)
STAGES = {
    'demo': ('runtime', 'mm', 'build'),
    'test': ('runtime', 'mm', 'build', 'optional', 'tests', 'detection', 'proposals'),
}
IMPORTS = 'import cv2, torch, torchvision, mmengine, mmcv, mmpretrain, mlic_mm'


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('level', choices=STAGES)
    level = parser.parse_args().level
    begin = time.monotonic()
    try:
        make_venv()
        install(level)
    except SetupError as error:
        print(f'\n{error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted: the same command goes on from here', file=sys.stderr)
        return 130
    print(f'environment ready: {VENV.name} ({clock(time.monotonic() - begin)})', flush=True)
    return 0


def make_venv() -> None:
    """Create ``.venv``, or check that the one there is ours and of this Python."""
    if VENV.exists() and not MARK.exists():
        raise SetupError(f'{VENV} exists and was not made by this script: move it away, nothing in it is touched.')
    if (stamp := VENV / '.stamp-venv').exists() and PYTHON.exists():
        if stamp.read_text('utf-8') != sys.version.split()[0]:
            raise SetupError(
                f'{VENV} holds Python {stamp.read_text("utf-8")}, this is {sys.version.split()[0]}: '
                'delete .venv to change over, or name the other one with PYTHON=…'
            )
        return
    if importlib.util.find_spec('ensurepip') is None:
        package = f'python{sys.version_info.major}.{sys.version_info.minor}-venv'
        raise SetupError(
            f'{sys.executable} cannot make virtual environments, its module ensurepip is missing: '
            f'apt-get install {package}, or name another Python with PYTHON=…'
        )
    stage(1, 3, f'virtual environment: {VENV.name}, Python {sys.version.split()[0]}')
    VENV.mkdir(exist_ok=True)
    MARK.touch()
    venv.create(VENV, with_pip=True, symlinks=True)
    stamp.write_text(sys.version.split()[0], 'utf-8')


def install(level: str) -> None:
    """Bring the environment to ``level``."""
    names = STAGES[level]
    stamp = VENV / f'.stamp-{level}'
    if stamp.exists() and stamp.read_text('utf-8') == fingerprint(names):
        return
    stage(2, 3, 'pinned packages (about 5 GB with torch; kept in .venv)')
    early = [name for name in names if name not in ('detection', 'proposals')]
    pip('install', '--constraint', 'requirements/lock.txt', *requirement_options(early))
    pip('install', '--no-deps', '--no-build-isolation', '--editable', '.')
    opencv_without_libgl()
    if 'detection' in names:
        stage(3, 3, "detection: mmcv's compiled ops and mmdet")
        compiled_ops()
        pip('install', '--constraint', 'requirements/lock.txt', *requirement_options(['detection']))
        if not imports('import torch, mmcv._ext, mmdet.models'):
            raise SetupError(f'mmdet does not import. Details: {PYTHON} -c "import mmdet.models"')
    if 'proposals' in names:
        # Last and over what is there: OpenCV's builds share one folder, and the plain ones are dependencies of others.
        alone = ('--no-deps', '--force-reinstall', '--constraint', 'requirements/lock.txt')
        pip('install', *alone, *requirement_options(['proposals']))
        if not imports('import cv2; cv2.ximgproc.createEdgeBoxes; import h5py'):
            raise SetupError(f"OpenCV's contrib build does not import. Details: {PYTHON} -m mlic_mm.doctor")
    if not imports(IMPORTS):
        raise SetupError(f'The new environment does not import. Details: {PYTHON} -m mlic_mm.doctor')
    stamp.write_text(fingerprint(names), 'utf-8')


def fingerprint(names: tuple[str, ...]) -> str:
    """Digest of all that decides what is installed."""
    digest = hashlib.sha256(str(REPO).encode())  # an editable install points at this very folder
    files = ['setup.py', 'pyproject.toml', 'requirements/lock.txt', *(f'requirements/{name}.txt' for name in names)]
    for file in files:
        digest.update(file.encode() + (REPO / file).read_bytes())
    return digest.hexdigest()


def requirement_options(names: list[str]) -> list[str]:
    return [option for name in names for option in ('--requirement', f'requirements/{name}.txt')]


def pip(*args: str) -> None:
    command = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', '--no-input', *args]
    if subprocess.run(command, cwd=REPO).returncode != 0:
        raise SetupError(f'pip failed (above); the same command tries again. It was: pip {" ".join(args)}')


def imports(code: str) -> bool:
    return subprocess.run([PYTHON, '-c', code], cwd=REPO, capture_output=True).returncode == 0


def opencv_without_libgl() -> None:
    """Servers often lack libGL, which only OpenCV's windows need: take the headless build of the same number."""
    if imports('import cv2'):
        return
    print('cv2 does not import here, libGL is probably missing: taking the headless build', flush=True)
    code = 'from importlib.metadata import version; print(version("opencv-python"))'
    number = subprocess.run([PYTHON, '-c', code], capture_output=True, text=True, check=True).stdout.strip()
    pip('install', '--no-deps', '--force-reinstall', f'opencv-python-headless=={number}')
    if not imports('import cv2'):
        raise SetupError(f'cv2 still does not import: apt-get install libglib2.0-0. Details: {PYTHON} -c "import cv2"')


def compiled_ops() -> None:
    """Give mmcv its compiled ops: those that are there, a wheel that has them, or minutes of compiling.

    Without build isolation only, and never from pip's cache: isolation hides torch from the build, which then leaves
    the ops out without a word, and the cache serves such a wheel again.
    """
    check = 'import torch, mmcv._ext'
    if imports(check):
        return
    houses = [os.environ['MLIC_WHEELS']] if os.environ.get('MLIC_WHEELS') else []
    for house in [*houses, str(WHEELS)]:
        if install_wheel(house) and imports(check):
            return
    compile_ops()
    if not (install_wheel(str(WHEELS)) and imports(check)):
        raise SetupError(f'mmcv was compiled, but its ops do not import. Details: {PYTHON} -c "{check}"')


def install_wheel(house: str) -> bool:
    """Install mmcv from a folder of wheels (``PIP_FIND_LINKS`` counts as well); False where there is none that fits."""
    options = ['--no-deps', '--force-reinstall', '--no-cache-dir', '--only-binary', ':all:', '--find-links', house]
    command = [str(PYTHON), '-m', 'pip', '--disable-pip-version-check', 'install', *options, MMCV]
    return subprocess.run(command, cwd=REPO, capture_output=True).returncode == 0


def compile_ops() -> None:
    """Build mmcv's wheel into ``.cache/wheels``, showing the files done and the time."""
    include = Path(sysconfig.get_paths()['include']) / 'Python.h'
    if shutil.which(os.environ.get('CXX', 'c++')) is None or not include.exists():
        raise SetupError("mmcv's ops need a C++ compiler and Python's headers: apt-get install g++ python3-dev")
    print("compiling mmcv's ops: 13 to 15 minutes on two cores; once, the wheel is kept in .cache/wheels", flush=True)
    WHEELS.mkdir(parents=True, exist_ok=True)
    log = WHEELS / 'build.log'
    with tempfile.TemporaryDirectory(prefix='mmcv-') as folder, log.open('w', encoding='utf-8') as out:
        # The build's include paths are not quoted: reach the environment by a path that has no spaces.
        short = Path(folder) / 'env'
        short.symlink_to(VENV, target_is_directory=True)
        command = [str(short / 'bin' / 'python'), '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
        command += ['--no-cache-dir', '--no-binary', 'onedl-mmcv', '--wheel-dir', str(WHEELS), MMCV]
        child = subprocess.Popen(
            command, stdout=out, stderr=out, env=build_environment(Path(folder)), start_new_session=True
        )
        try:
            with Bar('files compiled') as bar:
                while child.poll() is None:
                    bar.update(*progress_of_build(Path(folder)))
                    time.sleep(1)
                if child.returncode != 0:
                    lines = log.read_text('utf-8', errors='replace').splitlines()
                    raise SetupError('\n'.join([*lines[-25:], '', f"compiling mmcv's ops failed, see {log}"]))
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)  # the compilers as well, or they would go on for minutes
                child.wait()


def build_environment(folder: Path) -> dict[str, str]:
    """The variables of the build: its own temporary folder, ninja in PATH, and as many jobs as memory holds."""
    environment = os.environ | {'TMPDIR': str(folder), 'PATH': f'{VENV / "bin"}{os.pathsep}{os.environ["PATH"]}'}
    memory_gb = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    environment.setdefault('MAX_JOBS', str(max(1, min(os.cpu_count() or 1, int(memory_gb / 2)))))
    if 'CUDA_HOME' not in os.environ and shutil.which('nvcc') is None:
        environment['CUDA_VISIBLE_DEVICES'] = ''  # without nvcc only the CPU's ops can be built
    return environment


def progress_of_build(folder: Path) -> tuple[int, int]:
    """Object files written and C++ files to compile; 0 of 0 before the source is unpacked."""
    source = next(folder.glob('pip-wheel-*/onedl-mmcv*/mmcv/ops/csrc/pytorch'), None)
    if source is None:
        return 0, 0
    total = len([*source.glob('*.cpp'), *source.glob('cpu/*.cpp')])
    return min(total, len([*(source.parents[3] / 'build').rglob('*.o')])), total


if __name__ == '__main__':
    sys.exit(main())
