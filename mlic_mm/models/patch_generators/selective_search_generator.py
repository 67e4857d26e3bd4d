"""Proposals by selective search."""

import ctypes
from typing import Any

import numpy as np

from mlic_mm.registry import TASK_UTILS

from .contrib import require_ximgproc
from .patch_generator import PatchGenerator


@TASK_UTILS.register_module()
class SelectiveSearchGenerator(PatchGenerator):
    """Selective search of Uijlings et al. (IJCV 2013) by OpenCV's contrib build.

    It ranks its boxes and gives them no scores: the score of the k-th of R, counted from 0, is 1 − k / R: 1 for the
    first and 1 / R for the last. The published ranking has a random factor, drawn here from the same numbers for every
    image, so that a box does not depend on the images before it.

    Args:
        mode (str): ``'fast'`` or ``'quality'`` (more colour spaces and similarities, several times slower).
        num (int): Most boxes an image gives. Defaults to 1000.

    Raises:
        ImportError: The contrib build of OpenCV is missing; the message has the command.
        ValueError: An option is out of range.
    """

    def __init__(self, mode: str = 'fast', num: int = 1000) -> None:
        super().__init__(num)
        if mode not in ('fast', 'quality'):
            raise ValueError(f"SelectiveSearchGenerator: mode={mode!r} must be 'fast' or 'quality'")
        require_ximgproc("SelectiveSearchGenerator (or use type='mlic_mm.RPNGenerator')")
        self.mode = mode

    @property
    def settings(self) -> dict[str, Any]:
        """See the base class."""
        return super().settings | dict(mode=self.mode)

    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See the base class."""
        search = require_ximgproc(type(self).__name__).segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(image)
        if self.mode == 'fast':
            search.switchToSelectiveSearchFast()
        else:
            search.switchToSelectiveSearchQuality()
        _restart_random_numbers()
        corners = np.asarray(search.process(), np.float32).reshape(-1, 4)  # x, y, width, height
        corners[:, 2:] += corners[:, :2]
        return corners, 1 - np.arange(len(corners), dtype=np.float32) / max(len(corners), 1)


def _restart_random_numbers() -> None:
    """OpenCV takes the factor from the C library's ``rand``, which its own seed does not reach.

    Another thread that draws from it meanwhile changes the ranking: the telemetry of ONNX Runtime does, unless
    ``ORT_DISABLE_TELEMETRY=1`` is set.
    """
    ctypes.CDLL(None).srand(0)
