"""Write the built-in data set: scenes of handwritten digits in COCO format, the same bytes for the same seed.

    python -m mlic_mm.datasets.digit_scenes --out data/digits

The digits are the 1,797 scans that scikit-learn ships. Only ``val`` uses the last fifth of the scans of each digit. A
scene is made in three steps:

1. Draw one to three digits, each with its own weight (:data:`WEIGHTS`: zero is rare, six to nine are common).
2. Company (:data:`RULES`): a digit i adds a digit j with the given probability. 20 in 24 of the added digits are faint
   (small and of low contrast), and 3 in 24 of the others. So a digit that is hard to see can be guessed from the digit
   that added it.
3. Exclusions (:data:`EXCLUSIONS`): some pairs of digits never occur together. The later digit of such a pair is
   removed. The digits of a pair look alike if they are faint.

A fifth of the digits appear twice. So P(j|i) is far from P(i|j), and four directed edges are above τ = 0.5 in the label
graph. A model that knows which digits occur together has an advantage over a model that sees a faint digit alone.
"""

import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from mlic_mm.utils.choices import check_range

from .drawing import Random, background, draw_digit, duotone, randint
from .png import encode_palette_png

CLASSES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
WEIGHTS = (4, 8, 8, 9, 8, 8, 14, 15, 15, 14)
RULES = {1: (7, 80), 3: (8, 80), 4: (9, 75), 5: (6, 75), 2: (0, 40)}
"""``{i: (j, percent)}``: a scene with i also gets j in so many cases."""
EXCLUSIONS = ((6, 9), (0, 8), (2, 7))
MARKER = 'digit_scenes.json'
_VERSION = 1


def write_digit_scenes(
    out: str | Path, *, seed: int = 0, num_train: int = 2000, num_val: int = 500, size: int = 112
) -> Path:
    """Write the data set into ``out`` unless it exists already.

    The files are written into a folder beside ``out``, which takes its name in one step at the end. So ``out`` is
    complete if it exists, and processes that start together do not disturb each other.

    Args:
        out: Folder to create. It gets ``train/``, ``val/``, ``annotations/instances_{train,val}.json`` and
            ``digit_scenes.json`` with the options.
        seed: The same seed gives the same bytes.
        num_train: Number of scenes in ``train``.
        num_val: Number of scenes in ``val``.
        size: Edge of the square images in pixels, at least 64.

    Returns:
        The folder.

    Raises:
        FileExistsError: ``out`` holds something else, or was written with other options. Nothing is changed.
        ValueError: An option is out of range.
    """
    check_range('seed', seed, at_least=0, below=2**32, whole=True)
    check_range('num_train', num_train, at_least=1, whole=True)
    check_range('num_val', num_val, at_least=1, whole=True)
    check_range('size', size, at_least=64, whole=True)
    out = Path(out).expanduser()
    options = dict(version=_VERSION, seed=seed, num_train=num_train, num_val=num_val, size=size)
    if _is_written(out, options):
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
    try:
        temporary.chmod(0o755)  # mkdtemp keeps others out
        (temporary / 'annotations').mkdir()
        for split, count in (('train', num_train), ('val', num_val)):
            annotations = _write_split(temporary / split, split, seed, count, size)
            _write_json(temporary / 'annotations' / f'instances_{split}.json', annotations)
        _write_json(temporary / MARKER, options)
        try:
            os.rename(temporary, out)
        except OSError:
            # Another process was faster, or the user made the folder meanwhile.
            if not _is_written(out, options):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _is_written(out: Path, options: dict) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    cure = 'give another folder, or move this one away to have it written anew'
    try:
        found = json.loads((out / MARKER).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        raise FileExistsError(f'{out} exists and is not a folder of digit scenes (no {MARKER}); {cure}') from None
    if found != options:
        raise FileExistsError(f'{out} holds digit scenes with {found}, asked for {options}; {cure}')
    return True


def _write_split(folder: Path, split: str, seed: int, count: int, size: int) -> dict:
    folder.mkdir()
    scans = _scans(split)
    images = []
    annotations: list[dict] = []
    for index in range(count):
        rng = Random([seed, 0 if split == 'train' else 1, index])
        pixels, palette, digits = draw_scene(rng, scans, size)
        name = f'{index:06d}.png'
        (folder / name).write_bytes(encode_palette_png(pixels, palette))
        images.append(dict(id=index, file_name=name, width=size, height=size))
        for digit, box in digits:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=digit,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    categories = [dict(id=i, name=name, supercategory='digit') for i, name in enumerate(CLASSES)]
    return dict(images=images, annotations=annotations, categories=categories)


def draw_scene(
    rng: Random, scans: tuple[np.ndarray, ...], size: int
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, list[int]]]]:
    """Return pixels uint8 ``(size, size)``, palette uint8 ``(256, 3)``, and digits with boxes [x, y, width, height]."""
    canvas, palette = background(rng, size), duotone(rng)
    boxes: list[list[int]] = []
    digits = []
    for digit, faint in compose(rng):
        scan = scans[digit][randint(rng, 0, len(scans[digit]))]
        canvas, box = draw_digit(rng, canvas, scan, boxes, faint)
        boxes.append(box)
        digits.append((digit, box))
    return canvas.astype(np.uint8), palette, digits


def compose(rng: Random) -> list[tuple[int, bool]]:
    """Return the digits of a scene in drawing order, each with whether it is faint."""
    pool = [digit for digit, weight in enumerate(WEIGHTS) for _ in range(weight)]
    company: dict[int, bool] = {}  # digit: came as company
    for _ in range(randint(rng, 1, 4)):
        company.setdefault(pool[randint(rng, 0, len(pool))], False)
    for digit in list(company):
        other, percent = RULES.get(digit, (digit, 0))
        if randint(rng, 0, 100) < percent:
            company.setdefault(other, True)
    for pair in EXCLUSIONS:
        if company.keys() >= set(pair):
            later = [digit for digit in company if digit in pair][1]
            del company[later]
    scene = []
    for digit, invited in company.items():
        for _ in range(2 if randint(rng, 0, 5) == 0 else 1):
            scene.append((digit, randint(rng, 0, 24) < (20 if invited else 3)))
    return scene


@functools.cache
def _scans(split: str) -> tuple[np.ndarray, ...]:
    """Return the scans of each digit, int32 ``(n, 8, 8)`` with ink 0…16: the first four fifths, or the rest."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.astype(np.int32)
    result = []
    for digit in range(10):
        own = images[data.target == digit]
        cut = len(own) * 4 // 5
        result.append(own[:cut] if split == 'train' else own[cut:])
    return tuple(result)


def _write_json(path: Path, content: dict) -> None:
    path.write_bytes(json.dumps(content, sort_keys=True, separators=(',', ':')).encode())
