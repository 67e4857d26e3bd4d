"""Draw digit scenes with integers only, so that every machine gives the same pixels.

Random numbers come from ``numpy.random.RandomState``. NumPy has frozen its streams, while those of ``Generator`` may
change with a release. They are always int64, whose width does not depend on the platform. Pixels are int32, which is
wide enough for every product below and twice as fast.
"""

import functools

import numpy as np

Random = np.random.RandomState


def randint(rng: Random, low: int, high: int) -> int:
    """Return an integer in ``[low, high)``."""
    return int(rng.randint(low, high, dtype=np.int64))


def enlarge(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``image`` ``(h, w)``, int32 in 0…256, resized bilinearly to ``(height, width)``, times 2¹⁶."""
    top, bottom, fy = _taps(image.shape[0], height)
    left, right, fx = _taps(image.shape[1], width)
    rows = image[top] * (256 - fy)[:, None] + image[bottom] * fy[:, None]
    return rows[:, left] * (256 - fx) + rows[:, right] * fx


@functools.cache
def _taps(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each of ``out`` pixels its two neighbours among ``size`` and the weight of the second, in 1/256."""
    # Centre of output pixel i in input pixels, in 1/256: ((2i+1)·size/out − 1)/2.
    centre: np.ndarray = ((2 * np.arange(out, dtype=np.int32) + 1) * size * 128) // out - 128
    centre = centre.clip(0, (size - 1) * 256)
    low = centre >> 8
    return low, np.minimum(low + 1, size - 1), centre & 255


def background(rng: Random, size: int) -> np.ndarray:
    """Return a textured background, int32 ``(size, size)`` within 0…255."""
    level = randint(rng, 70, 186)
    canvas = np.full((size, size), level, dtype=np.int32)
    for cells in (3, 7, 17):  # clouds at three scales
        amplitude = randint(rng, 4, 26)
        grid = rng.randint(-128, 129, size=(cells, cells), dtype=np.int64) + 128
        canvas += ((enlarge(grid.astype(np.int32), size, size) >> 16) - 128) * amplitude // 128
    y, x = np.mgrid[:size, :size].astype(np.int32)
    kind = randint(rng, 0, 3)
    amplitude = randint(rng, 6, 26)
    if kind == 0:  # slanted stripes, a triangle wave
        a, b, period = randint(rng, -4, 5), randint(rng, 1, 5), randint(rng, 16, 64)
        phase = (a * x + b * y) % period
        canvas += (abs(2 * phase - period) * 2 - period) * amplitude // period
    elif kind == 1:  # checks
        cell = randint(rng, 5, 15)
        canvas += ((x // cell + y // cell) % 2 * 2 - 1) * amplitude // 2
    canvas += rng.randint(-6, 7, size=(size, size), dtype=np.int64).astype(np.int32)  # grain
    return canvas.clip(0, 255)


def draw_digit(
    rng: Random, canvas: np.ndarray, scan: np.ndarray, taken: list[list[int]], faint: bool
) -> tuple[np.ndarray, list[int]]:
    """Draw one scan on ``canvas`` ``(S, S)`` at a random place, scale, slant and contrast.

    Args:
        rng: Source of randomness.
        canvas: int32, 0…255.
        scan: int32 ``(8, 8)``, ink 0…16.
        taken: Boxes [x, y, width, height] of the digits on the canvas. The new digit may overlap them. It takes the
            emptiest of twelve random places.
        faint: Whether contrast and scale are small. Such a digit is hard to recognise without the digits that occur
            with it.

    Returns:
        The new canvas and the box [x, y, width, height] of the ink.
    """
    size = canvas.shape[0]
    low, high = (size * 22 // 112, size * 32 // 112) if faint else (size * 26 // 112, size * 50 // 112)
    height = randint(rng, low, high)
    width = height * randint(rng, 70, 111) // 100
    # Ink 0…16 → 0…256 with steeper flanks, because enlarging 8 × 8 pixels blurs.
    ink = ((enlarge(scan * 16, height, width) >> 16) * 2 - 128).clip(0, 256)
    slant = randint(rng, -height // 5, height // 5 + 1)
    shift = slant * np.arange(height, dtype=np.int64)[:, None] // height - min(slant, 0)
    sheared = np.zeros((height, width + abs(slant)), dtype=np.int32)
    np.put_along_axis(sheared, shift + np.arange(width, dtype=np.int64), ink, axis=1)
    rows, columns = np.nonzero(sheared.max(1))[0], np.nonzero(sheared.max(0))[0]
    ink = sheared[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    h, w = ink.shape

    places = rng.randint(0, (size - w + 1, size - h + 1), size=(12, 2), dtype=np.int64).tolist()
    x, y = min(places, key=lambda place: sum(_overlap([*place, w, h], box) for box in taken))
    patch = canvas[y : y + h, x : x + w]
    level = int(patch.sum()) // patch.size
    colour = 0 if (level > 127) != (randint(rng, 0, 4) == 0 and 80 < level < 176) else 255
    contrast = randint(rng, 60, 100) if faint else randint(rng, 140, 257)
    canvas = canvas.copy()
    canvas[y : y + h, x : x + w] = patch + (colour - patch) * ink * contrast // 65536
    return canvas, [x, y, w, h]


def _overlap(a: list[int], b: list[int]) -> int:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def duotone(rng: Random) -> np.ndarray:
    """Return a palette, uint8 ``(256, 3)``: gray levels from a dark to a light tint."""
    dark = rng.randint(0, 60, size=3, dtype=np.int64)
    light = rng.randint(190, 256, size=3, dtype=np.int64)
    grey = np.arange(256, dtype=np.int64)[:, None]
    return (dark + (light - dark) * grey // 255).astype(np.uint8)
