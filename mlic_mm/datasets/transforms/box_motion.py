"""Check whether the transforms of a pipeline moved boxes together with their image."""

import numpy as np

TOLERANCE = 0.1
"""Pixels that float32 may lose on the way."""


def moved_with_image(before: np.ndarray, now: np.ndarray, ori_shape: tuple[int, int], shape: tuple[int, int]) -> bool:
    r"""Return whether boxes are where resizing, flipping and central crops, in any order, would put them.

    All of these keep the centre of the image: :math:`x' - W'/2 = \pm s (x - W/2)` with a scale :math:`s \ge W'/W`. The
    two are equal without a crop. With a crop, the scale is found by least squares. The same holds for heights.

    Args:
        before: Boxes [x1, y1, x2, y2] ``(G, 4)`` in pixels of ``ori_shape``.
        now: The same boxes ``(G, 4)`` in pixels of ``shape``.
        ori_shape: Height and width of the file.
        shape: Height and width of the image now.

    Returns:
        False if the boxes are certainly elsewhere. True if they may be right, and if there are none.
    """
    usable = np.isfinite(before).all(1) & (before[:, 2:] > before[:, :2]).all(1)
    before, now = before[usable].astype(np.float64), now[usable].astype(np.float64)
    return all(
        _moved_along(before[:, axis::2], now[:, axis::2], ori_shape[1 - axis], shape[1 - axis]) for axis in (0, 1)
    )


def _moved_along(before: np.ndarray, now: np.ndarray, ori_size: int, size: int) -> bool:
    """Return it for one axis. ``before`` and ``now`` ``(G, 2)`` are start and end."""
    now = now.clip(0, size)
    inside = (now > TOLERANCE) & (now < size - TOLERANCE)
    for start in (before, ori_size - before[:, ::-1]):  # as it was, and flipped
        centred = start - ori_size / 2
        scale = size / ori_size
        if np.abs((centred * scale + size / 2).clip(0, size) - now).max(initial=0) <= TOLERANCE:
            return True
        if not inside.any():
            continue
        squares = (centred[inside] ** 2).sum()
        scale = max(scale, (centred[inside] * (now[inside] - size / 2)).sum() / max(squares, 1e-9))
        # Crops begin at whole pixels, which later resizing enlarges, more than the final scale tells.
        if np.abs((centred * scale + size / 2).clip(0, size) - now).max() <= 3 * max(1.0, scale):
            return True
    return not inside.any()


def projected(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the boxes ``(G, 4)`` around the corners of ``boxes``, moved by a homography ``(3, 3)``."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    moved = np.concatenate([corners, np.ones((len(boxes), 4, 1))], 2) @ np.asarray(matrix, np.float64).T
    moved = moved[..., :2] / moved[..., 2:]
    return np.concatenate([moved.min(1), moved.max(1)], 1)
