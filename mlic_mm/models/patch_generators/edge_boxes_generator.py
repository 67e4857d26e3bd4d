"""Proposals by EdgeBoxes."""

from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch

from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.choices import check_choice, check_range

from .contrib import require_ximgproc
from .edges import ridge_direction, sobel_edges, thin
from .hed import HED, pretrained_hed
from .patch_generator import PatchGenerator

Edges = Literal['sobel', 'hed', 'structured']


@TASK_UTILS.register_module()
class EdgeBoxesGenerator(PatchGenerator):
    """Proposals of EdgeBoxes, by OpenCV's contrib build.

    `EdgeBoxes <https://doi.org/10.1007/978-3-319-10602-1_26>`_ (Zitnick & Dollár 2014). The score of a box is the
    number of contours that lie completely in it, divided by its perimeter.

    Paper: edges of a structured forest. Here: ``'hed'`` or ``'sobel'``, unless the forest's file is given, because no
    package registry has this file.

    Args:
        edges: ``'sobel'``: gradients, which need no other package. ``'hed'``: a packaged network, slower and better.
            ``'structured'``: OpenCV's structured forest in the file ``model``.
        model: The forest's file (``model.yml`` or ``model.yml.gz`` of opencv_extra).
        alpha: Step of the sliding windows, as the IoU of neighbours. The default is OpenCV's.
        beta: If the IoU of two boxes is larger, the one with the lower score is dropped. The default is OpenCV's.
        device: Device of HED.
        num: Largest number of boxes per image.

    Raises:
        ImportError: The contrib build of OpenCV or HED's weights are missing; the message has the command.
        FileNotFoundError: ``model`` is missing.
        ValueError: An option is out of range, or ``model`` is no such file.

    Examples:
        >>> generator = TASK_UTILS.build(dict(type='mlic_mm.EdgeBoxesGenerator', num=5))  # needs OpenCV's contrib build
        >>> image = np.zeros((60, 90, 3), np.uint8)
        >>> image[15:45, 30:70] = 255
        >>> boxes, scores = generator(image)
        >>> boxes.shape, scores.shape
        ((5, 4), (5,))
    """

    def __init__(
        self,
        edges: Edges = 'sobel',
        model: str | None = None,
        alpha: float = 0.65,
        beta: float = 0.75,
        device: str = 'cpu',
        num: int = 1000,
    ) -> None:
        super().__init__(num)
        check_choice('edges', edges, get_args(Edges))
        check_range('alpha', alpha, above=0, below=1)
        check_range('beta', beta, above=0, below=1)
        if (model is not None) != (edges == 'structured'):
            raise ValueError(
                f"edges={edges!r} with model={model!r}: edges='structured' needs model, the file of the forest "
                '(model.yml.gz of opencv_extra), and other edges take none'
            )
        require_ximgproc("EdgeBoxesGenerator (or use type='mlic_mm.RPNGenerator')")
        self.edges = edges
        self.model = model
        self.alpha = alpha
        self.beta = beta
        self.device = device
        self._forest: Any = None  # OpenCV's objects cannot be pickled, so each process makes its own
        self._hed: HED | None = None
        if edges == 'hed':
            self._hed = pretrained_hed()
        elif edges == 'structured':
            self._load_forest()

    @property
    def settings(self) -> dict[str, Any]:
        """See the base class. ``device`` is left out, because boxes do not depend on it."""
        own = dict(edges=self.edges, alpha=self.alpha, beta=self.beta)
        return super().settings | own | ({} if self.model is None else dict(model=Path(self.model).name))

    def edge_map(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return thin edges in [0, 1] and the direction across them in radians, each float32 ``(H, W)``."""
        if self.edges == 'structured':
            if self._forest is None:
                self._load_forest()
            rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.float32) / 255
            strength = self._forest.detectEdges(rgb)
            direction = self._forest.computeOrientation(strength)
            return self._forest.edgesNms(strength, direction), direction
        if self.edges == 'hed':
            strength = self._run_hed(image)
            direction = ridge_direction(strength)
        else:
            strength, direction = sobel_edges(image)
        return thin(strength, direction), direction

    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See the base class."""
        edges, direction = self.edge_map(image)
        boxer = require_ximgproc(type(self).__name__).createEdgeBoxes(
            alpha=self.alpha, beta=self.beta, maxBoxes=self.num
        )
        # The direction is needed modulo half a turn only.
        boxes, scores = boxer.getBoundingBoxes(edges, np.mod(direction, np.float32(np.pi)))
        if len(boxes) == 0:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        corners = np.asarray(boxes, np.float32)  # (R, 4) as x, y, width, height
        corners[:, 2:] += corners[:, :2]
        return corners, np.asarray(scores)

    def _run_hed(self, image: np.ndarray) -> np.ndarray:
        assert self._hed is not None
        pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float()  # (1, 3, H, W)
        with torch.inference_mode():
            return self._hed.to(self.device)(pixels)[0, 0].cpu().numpy()

    def _load_forest(self) -> None:
        assert self.model is not None
        if not Path(self.model).is_file():
            raise FileNotFoundError(
                f'model={self.model!r} not found: get model.yml.gz of opencv_extra '
                "(testdata/cv/ximgproc), or use edges='hed' or 'sobel'"
            )
        try:
            self._forest = require_ximgproc(type(self).__name__).createStructuredEdgeDetection(self.model)
        except cv2.error as error:
            raise ValueError(
                f'model={self.model!r} is no structured forest of OpenCV '
                f'({str(error).splitlines()[0]}): get model.yml.gz of opencv_extra (testdata/cv/ximgproc)'
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_forest': None}
