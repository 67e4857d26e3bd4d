"""Edge maps for EdgeBoxes: one pixel wide, in [0, 1], with the direction across the edge."""

import cv2
import numpy as np


def sobel_edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient's magnitude, divided by its largest value, and its direction, each float32 ``(H, W)``.

    Args:
        image: uint8 BGR ``(H, W, 3)``. At each pixel, the channel with the largest gradient counts.
    """
    smooth = cv2.GaussianBlur(image, (5, 5), 1.0).astype(np.float32)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    squared = dx * dx + dy * dy  # (H, W, 3)
    channel = squared.argmax(2)[..., None]
    x, y, most = (np.take_along_axis(part, channel, 2)[..., 0] for part in (dx, dy, squared))
    magnitude = np.sqrt(most)
    return magnitude / max(float(magnitude.max()), 1e-6), np.arctan2(y, x)


def ridge_direction(edges: np.ndarray) -> np.ndarray:
    """Return the direction across the lines of an edge map, float32 ``(H, W)`` in radians.

    The second derivative of a line is most negative across it. The direction is therefore the eigenvector of the
    Hessian's smaller eigenvalue. The map is smoothed over 3 to 4 pixels first.
    """
    smooth = cv2.GaussianBlur(edges, (0, 0), 2.0)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    dxx, dyy, dxy = cv2.Sobel(dx, cv2.CV_32F, 1, 0), cv2.Sobel(dy, cv2.CV_32F, 0, 1), cv2.Sobel(dx, cv2.CV_32F, 0, 1)
    along = 0.5 * np.arctan2(2 * dxy, dxx - dyy)  # eigenvector of the larger eigenvalue
    return (along + np.pi / 2).astype(np.float32)


def thin(edges: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Keep the pixels of ``edges`` ``(H, W)`` that are a maximum across the edge, and set the others to 0.

    The neighbours at a distance of one pixel on both sides are interpolated. Of equal pixels in a row, the last stays.
    """
    height, width = edges.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    dx, dy = np.cos(direction), np.sin(direction)
    ahead, behind = (
        cv2.remap(edges, x + sign * dx, y + sign * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for sign in (1, -1)
    )
    return np.where((edges > ahead) & (edges >= behind), edges, np.float32(0))
