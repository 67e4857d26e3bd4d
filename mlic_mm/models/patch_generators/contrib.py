"""The parts of OpenCV that only its contrib build has."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cv2

DISTRIBUTIONS = ('opencv-contrib-python-headless', 'opencv-contrib-python', 'opencv-python-headless', 'opencv-python')


def contrib_command() -> str:
    """Return the command that installs them.

    The version is that of the installed OpenCV, because all builds share one folder. The build is installed last and
    alone, because the other builds are dependencies of the OpenMMLab packages and would replace it again.
    """
    for name in DISTRIBUTIONS:
        try:
            return f'pip install --force-reinstall --no-deps opencv-contrib-python-headless=={version(name)}'
        except PackageNotFoundError:
            continue
    return f'pip install --force-reinstall --no-deps opencv-contrib-python-headless=={cv2.__version__}.*'


def require_ximgproc(user: str) -> Any:
    """Return ``cv2.ximgproc``.

    Args:
        user: Name of the class that needs it, for the message.

    Raises:
        ImportError: The installed OpenCV is not the contrib build; the message has the command.
    """
    ximgproc = getattr(cv2, 'ximgproc', None)
    if not hasattr(ximgproc, 'createEdgeBoxes'):
        raise ImportError(
            f'{user} needs the contrib build of OpenCV (cv2.ximgproc), but this is the plain build {cv2.__version__}: '
            f'install it after everything else: {contrib_command()}'
        )
    return ximgproc
