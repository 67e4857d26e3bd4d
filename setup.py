"""Build of mlic_mm.

Besides the package it installs ``mlic_mm/.mim`` (configs, tools, model-index.yml), where ``mim download``,
``mim train`` and mmengine's ``get_config('mlic_mm::…')`` look for them: as copies in a wheel, as links beside the
source in an editable install of either kind.
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
MIM_PARTS = ('configs', 'tools', 'model-index.yml')


def requirements(name: str) -> list[str]:
    """Lines of ``requirements/name.txt``, those of the files it includes first."""
    found: list[str] = []
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines():
        line = line.split('#')[0].strip()
        if line.startswith('-r '):
            found += requirements(line[3:].strip().removesuffix('.txt'))
        elif line:
            found.append(line)
    return found


def version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'mlic_mm' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def place_mim(folder: Path, link: bool) -> None:
    """Fill ``folder`` with the parts mim looks for; ``link`` falls back to copies where links are not permitted."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for part in MIM_PARTS:
        source, target = ROOT / part, folder / part
        if link:
            try:
                target.symlink_to(os.path.relpath(source, folder), target_is_directory=source.is_dir())
                continue
            except OSError:
                pass
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy2(source, target)


class BuildWithMim(build_py):
    """Puts ``.mim`` into the wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            place_mim(Path(self.build_lib) / 'mlic_mm' / '.mim', link=False)


class EditableWithMim(editable_wheel):
    """PEP 660: ``pip install -e .``."""

    def run(self) -> None:
        place_mim(ROOT / 'mlic_mm' / '.mim', link=True)
        super().run()


class DevelopWithMim(develop):
    """``setup.py develop``, which old versions of pip still call."""

    def run(self) -> None:
        place_mim(ROOT / 'mlic_mm' / '.mim', link=True)
        super().run()


EXTRAS = ('mm', 'detection', 'optional', 'tests')

setup(
    name='mlic_mm',
    version=version(),
    description='Multi-label image classification methods for the OpenMMLab toolboxes',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, multi-label image classification, OpenMMLab',
    packages=find_packages(include=['mlic_mm', 'mlic_mm.*']),
    package_data={'mlic_mm': ['py.typed', 'visualization/templates/*']},
    python_requires='>=3.10',
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in EXTRAS},
    cmdclass={'build_py': BuildWithMim, 'editable_wheel': EditableWithMim, 'develop': DevelopWithMim},
    zip_safe=False,
)
