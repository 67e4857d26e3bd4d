"""Proposals of selective search."""

import ctypes
from typing import Any, Literal, get_args

import numpy as np

from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.choices import check_choice

from .contrib import require_ximgproc
from .patch_generator import PatchGenerator

Mode = Literal['fast', 'quality']


@TASK_UTILS.register_module()
class SelectiveSearchGenerator(PatchGenerator):
    """Proposals of selective search, by OpenCV's contrib build.

    `Selective search <https://doi.org/10.1007/s11263-013-0620-5>`_ (Uijlings et al. 2013) ranks its boxes without
    scores. Here, the score of the k-th of R boxes, counted from 0, is 1 − k / R: 1 for the first and 1 / R for the
    last.

    Paper: the ranking has a random factor. Here: the factor is drawn from the same random numbers for every image, so
    that boxes do not depend on earlier images.

    Args:
        mode: ``'quality'`` has more colour spaces and similarities than ``'fast'``, and is several times slower.
        num: Largest number of boxes per image.

    Raises:
        ImportError: The contrib build of OpenCV is missing; the message has the command.
        ValueError: An option is out of range.

    Examples:
        >>> generator = TASK_UTILS.build(dict(type='mlic_mm.SelectiveSearchGenerator'))  # needs OpenCV's contrib build
        >>> image = np.zeros((60, 90, 3), np.uint8)
        >>> image[15:45, 30:70] = 255
        >>> boxes, scores = generator(image)
        >>> [30, 15, 70, 45] in boxes.tolist()
        True
    """

    def __init__(self, mode: Mode = 'fast', num: int = 1000) -> None:
        super().__init__(num)
        check_choice('mode', mode, get_args(Mode))
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
    """Seed the C library's ``rand``, from which OpenCV draws the factor; OpenCV's own seed does not change it.

    Another thread that draws at the same time changes the ranking. The telemetry of ONNX Runtime does so, unless
    ``ORT_DISABLE_TELEMETRY=1`` is set.
    """
    ctypes.CDLL(None).srand(0)
