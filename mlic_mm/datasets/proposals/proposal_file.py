"""Proposals of a whole data set in one file that loaders map into memory."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mlic_mm.safe_load.pickle_bounds import show
from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.boxes import has_area, image_frame

FORMAT, VERSION = 'mlic_mm.proposals', 1
STEPS = 65535
"""Box coordinates are kept as whole steps of 1/65535 of the image's width or height."""
_KINDS = dict(boxes='U16', scores='F16', offsets='int64', sizes='int32')
_ROWS = 2**20
MAKE = 'python tools/generate_proposals.py CONFIG --out FILE'
Entry = tuple[str, tuple[int, int], np.ndarray, np.ndarray]
"""Image id, size (H, W), boxes ``(R, 4)`` in pixels, scores ``(R,)``, best first."""


class ProposalFile:
    """Boxes and scores of each image, by image id.

    ``file[img_id]`` gives boxes in pixels of the image at its own size; :meth:`read` gives them in pixels of another
    size. Each process opens the file on first use, so that an object can be pickled and passed to data loaders. Reading
    maps the file, so that processes share its memory. The first opening reads all of it once and compares its digest
    with the fingerprint (a second for each GB). :meth:`verify` does so in one process, before it forks others.

    The file holds safetensors: ``boxes`` uint16 ``(P, 4)`` ([x1, y1, x2, y2] over the image's size, times 65535),
    ``scores`` float16 ``(P,)``, ``offsets`` int64 ``(N + 1,)``, ``sizes`` int32 ``(N, 2)`` as (H, W), ``ids`` uint8
    (UTF-8, one to a line), and metadata: format, version, generator, data set, fingerprint. So a coordinate is off by
    at most 1/131070 of the image's side (0.004 pixels of 500), a score by 1/2048 of itself (below 6e-5, by 3e-8).

    Args:
        path: A file written by ``tools/generate_proposals.py``.
        dataset: Type of the data set that the file must be of, such as ``'VOCMultiLabel'``. Defaults to any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: On first use: it is no proposal file, is truncated or damaged, or belongs to another data set.

    Examples:
        >>> boxes, scores = ProposalFile('data/proposals/voc07.st')['000005']  # doctest: +SKIP
        >>> boxes.shape, scores.shape  # doctest: +SKIP
        ((1000, 4), (1000,))
    """

    _known: ClassVar[set[tuple]] = set()
    """States of files that this process, or the one that it was forked from, has compared."""

    def __init__(self, path: str | Path, dataset: str | None = None) -> None:
        self.path = os.path.expanduser(path)
        self.dataset = dataset
        self._opened: _Opened | None = None
        self._verified: tuple | None = None
        if not os.path.isfile(self.path):
            raise FileNotFoundError(f'proposal file {self.path} not found; write it: {MAKE}')

    def verify(self) -> None:
        """Open the file and compare its contents with its fingerprint, before other processes get it."""
        self._open()

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order of the data set."""
        return list(self._open().index)

    @property
    def metadata(self) -> dict[str, Any]:
        """``generator`` (settings), ``dataset`` (``type``, ``id_type``), ``fallback_score``, ``fingerprint``."""
        return self._open().metadata

    @property
    def fingerprint(self) -> str:
        """Digest of all boxes, scores, ids and sizes. It can name what depends on proposals."""
        return self.metadata['fingerprint']

    def __len__(self) -> int:
        return len(self._open().index)

    def __contains__(self, img_id: object) -> bool:
        return str(img_id) in self._open().index

    def __getitem__(self, img_id: str | int) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes, float32 ``(R, 4)``, and scores, float32 ``(R,)``, best first."""
        return self.read(img_id, self.size(img_id))

    def size(self, img_id: str | int) -> tuple[int, int]:
        """Return (H, W) of the image that the proposals were found in.

        Raises:
            ValueError: The file has no such image.
        """
        opened = self._open()
        height, width = opened.sizes[self._row(opened, img_id)].tolist()
        return height, width

    def read(
        self,
        img_id: str | int,
        size: tuple[int, int],
        num: int | None = None,
        ori_size: tuple[int, int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best ``num`` (default: all) boxes of an image, in pixels of ``size`` (H, W), and their scores.

        Boxes that have lost their area by the rounding to steps are left out.

        Args:
            img_id: The image.
            size: Size (H, W) of the image now.
            num: Maximum number of boxes.
            ori_size: Size of the image in the data set, which is compared with that of the file.

        Raises:
            ValueError: The file has no such image, or had it in another size than ``ori_size``.
        """
        opened = self._open()
        row = self._row(opened, img_id)
        if ori_size is not None and tuple(ori_size) != tuple(opened.sizes[row].tolist()):
            height, width = opened.sizes[row].tolist()
            raise ValueError(
                f'{self.path}: the proposals of image {str(img_id)!r} were found in {width} × {height} pixels, but the '
                f'image of the data set has {ori_size[1]} × {ori_size[0]}; its images have changed or are of another '
                f'copy: write the file again: {MAKE}'
            )
        first, last = int(opened.offsets[row]), int(opened.offsets[row + 1])
        if num is not None:
            last = min(last, first + num)
        if first == last:  # the library slices no empty tensor
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        boxes = opened.boxes[first:last].astype(np.float32)
        scores = opened.scores[first:last].astype(np.float32)
        height, width = size
        boxes *= np.array(image_frame(width, height), np.float32) / STEPS
        inside = has_area(boxes)
        return (boxes, scores) if inside.all() else (boxes[inside], scores[inside])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_opened': None}

    def __repr__(self) -> str:
        return f'ProposalFile({self.path!r}, dataset={self.dataset!r})'

    def _open(self) -> '_Opened':
        if self._opened is None:
            opened = _Opened(self.path)
            kind = opened.metadata['dataset']['type']
            if self.dataset is not None and kind != self.dataset:
                raise ValueError(
                    f'{self.path}: holds proposals for the images of {kind}, not of {self.dataset}; name the file of '
                    f'this data set, or write one: {MAKE}'
                )
            state = os.stat(self.path)
            signature = (os.path.realpath(self.path), state.st_ino, state.st_size, state.st_mtime_ns)
            if signature != self._verified and signature not in self._known:
                opened.compare()
                self._known.add(signature)
            self._opened, self._verified = opened, signature
        return self._opened

    def _row(self, opened: '_Opened', img_id: str | int) -> int:
        row = opened.index.get(str(img_id))
        if row is None:
            first = next(iter(opened.index), None)
            raise ValueError(
                f'{self.path}: has no proposals of image {str(img_id)!r}; it has {len(opened.index)} images of '
                f'{opened.metadata["dataset"]["type"]}, the first {first!r}. Name the file of this data set and split, '
                f'or write one: {MAKE} --split all'
            )
        return row


class _Opened:
    """The parts of a file. Boxes and scores stay on disk until they are sliced."""

    def __init__(self, path: str) -> None:
        self.path = path
        cure = f'delete it and write it again: {MAKE}'
        try:
            self.file = safe_open(path, framework='numpy')
            metadata = self.file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise ValueError(f'{path}: no proposal file, or cut short ({error}); {cure}') from None
        if metadata.get('format') != FORMAT:
            raise ValueError(f'{path}: a file of safetensors, but not of proposals; name the right one, or: {MAKE}')
        if metadata.get('version') != str(VERSION):
            raise ValueError(f'{path}: version {metadata.get("version")} of the format, known is {VERSION}; {cure}')
        try:
            self.metadata = {key: json.loads(metadata[key]) for key in ('generator', 'dataset', 'fallback_score')}
            self.metadata['fingerprint'] = metadata['fingerprint']
            self.boxes, self.scores = self.file.get_slice('boxes'), self.file.get_slice('scores')
            self.offsets, self.sizes = self.file.get_tensor('offsets'), self.file.get_tensor('sizes')
            ids = bytes(self.file.get_tensor('ids')).decode()
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f'{path}: a part is missing or damaged ({error}); {cure}') from None
        dataset, score = self.metadata['dataset'], self.metadata['fallback_score']
        if not isinstance(dataset, dict) or not isinstance(dataset.get('type'), str):
            raise ValueError(f'{path}: dataset = {show(dataset)} in its metadata is no dict with a type; {cure}')
        if type(score) not in (int, float) or not np.isfinite(score):
            raise ValueError(f'{path}: fallback_score = {show(score)} in its metadata is no number; {cure}')
        kinds = dict(boxes=self.boxes.get_dtype(), scores=self.scores.get_dtype())
        kinds |= dict(offsets=str(self.offsets.dtype), sizes=str(self.sizes.dtype))
        if kinds != _KINDS:
            wrong = next(key for key in _KINDS if kinds[key] != _KINDS[key])
            raise ValueError(f'{path}: its {wrong} are {kinds[wrong]}, not {_KINDS[wrong]}; {cure}')
        self.index = {name: row for row, name in enumerate(ids.split('\n') if len(self.sizes) else ())}
        count = len(self.index)
        if (
            self.sizes.shape != (count, 2)
            or (self.sizes < 1).any()
            or self.offsets.shape != (count + 1,)
            or self.offsets[0] != 0
            or (np.diff(self.offsets) < 0).any()
            or self.boxes.get_shape() != [self.offsets[-1], 4]
            or self.scores.get_shape() != [self.offsets[-1]]
        ):
            raise ValueError(f'{path}: its parts do not fit together; {cure}')

    def compare(self) -> None:
        """Compare all boxes, scores, offsets, sizes and ids with the fingerprint."""
        digest = hashlib.sha256()
        for name in ('boxes', 'scores', 'offsets', 'sizes', 'ids'):
            part = self.file.get_slice(name)
            rows, *rest = part.get_shape()
            digest.update(f'{name} {(rows, *rest)}'.encode())
            for first in range(0, rows, _ROWS):
                digest.update(part[first : min(first + _ROWS, rows)].tobytes())
        if digest.hexdigest() != self.metadata['fingerprint']:
            raise ValueError(
                f'{self.path}: its contents are not those of its fingerprint, so that it is damaged or was changed; '
                f'delete it and write it again: {MAKE}'
            )


def write_proposal_file(
    path: str | Path, entries: Iterable[Entry], generator: Mapping[str, Any], dataset: Mapping[str, Any]
) -> None:
    """Write a proposal file, complete or not at all.

    Boxes are cut off at the image's edges. Boxes that lose their area by that or by the rounding are dropped.

    Args:
        path: The file. An existing one is replaced.
        entries: One :data:`Entry` for each image.
        generator: Settings of the generator, fit for JSON.
        dataset: ``type`` and whatever else tells data sets apart, fit for JSON.

    Raises:
        ValueError: An id occurs twice or has a line break; a size is not positive; boxes and scores differ in number,
            are not finite, or a score does not fit into float16.
    """
    sizes: dict[str, tuple[int, int]] = {}
    all_boxes, all_scores, counts, best = [np.zeros((0, 4), np.uint16)], [np.zeros(0, np.float16)], [0], []
    for img_id, size, boxes, scores in entries:
        if img_id in sizes or '\n' in img_id:
            raise ValueError(f'{path}: image id {img_id!r} occurs twice or has a line break; make ids unique')
        if min(size) < 1:
            raise ValueError(f'{path}: image {img_id!r} has size {size}; it must be (H, W), both positive')
        steps, kept = _pack(f'{path}: image {img_id!r}', size, np.asarray(boxes), np.asarray(scores))
        sizes[img_id] = size
        all_boxes.append(steps)
        all_scores.append(kept)
        counts.append(len(kept))
        best += kept[:1].tolist()
    tensors: dict[str, np.ndarray] = {
        'boxes': np.concatenate(all_boxes),
        'scores': np.concatenate(all_scores),
        'offsets': np.cumsum(counts, dtype=np.int64),
        'sizes': np.array(list(sizes.values()), np.int32).reshape(-1, 2),
        'ids': np.frombuffer('\n'.join(sizes).encode(), np.uint8),
    }
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f'{name} {tensor.shape}'.encode() + tensor.tobytes())
    metadata = {
        'format': FORMAT,
        'version': str(VERSION),
        'generator': json.dumps(generator, sort_keys=True),
        'dataset': json.dumps(dataset, sort_keys=True),
        # For images without proposals: the usual score of the best box.
        'fallback_score': json.dumps(float(np.median(best)) if best else 1.0),
        'fingerprint': digest.hexdigest(),
    }
    with atomic_write(path) as part:
        part.touch()
        mode = part.stat().st_mode  # what the user's umask says; the library would let nobody else read
        save_file(tensors, part, metadata)
        part.chmod(mode)


def _pack(where: str, size: tuple[int, int], boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes as steps, uint16 ``(R, 4)``, and scores, float16 ``(R,)``, without the boxes that have no area."""
    if boxes.shape != (len(scores), 4) or scores.ndim != 1:
        raise ValueError(f'{where}: boxes {boxes.shape} and scores {scores.shape} must be (R, 4) and (R,)')
    with np.errstate(over='ignore'):
        half = scores.astype(np.float16)
    if not (np.isfinite(boxes).all() and np.isfinite(half).all()):
        raise ValueError(f'{where}: a box or score is not finite, or a score does not fit into float16 (65504)')
    height, width = size
    steps = np.rint(np.clip(boxes / np.array(image_frame(width, height)), 0, 1) * STEPS).astype(np.uint16)
    inside = has_area(steps)
    return steps[inside], half[inside]
