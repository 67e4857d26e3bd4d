"""Outputs of a teacher for each image of a data set, in a folder of shards that loaders map into memory."""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from mlic_mm.safe_load.pickle_bounds import show

from ..proposals.proposal_file import STEPS

FORMAT, VERSION = 'mlic_mm.teacher_cache', 1
INDEX = 'index.json'
MAKE = 'python tools/cache_teacher.py CONFIG CHECKPOINT --out FOLDER'
RECORD = ('cls_logits', 'det_logits', 'boxes', 'scores')
"""Tensors of an image besides size, logits and maps."""
SETTINGS = ('fingerprint', 'classes', 'layers', 'regions', 'dataset')


class CachedTeacher(NamedTuple):
    """The outputs of a teacher for one image. Outputs that a teacher does not give are None, or no maps.

    Attributes:
        size: (H, W) of the image in the data set.
        logits: float32 ``(C,)``, of the image.
        cls_logits: float16 ``(R, C)``, :math:`M^c`.
        det_logits: float16 ``(R, C)``, :math:`M^d`.
        boxes: float32 ``(R', 4)``, regions after NMS as fractions of width and height; R' may be 0.
        scores: float32 ``(R',)``, their :math:`s'`.
        maps: float16 ``(D, h, w)`` by layer; ``''`` is the last map of the backbone.
    """

    size: tuple[int, int]
    logits: np.ndarray
    cls_logits: np.ndarray | None
    det_logits: np.ndarray | None
    boxes: np.ndarray | None
    scores: np.ndarray | None
    maps: dict[str, np.ndarray]


class TeacherCache:
    """Outputs of a teacher by image id: ``cache[img_id]`` is a :class:`CachedTeacher`.

    The folder has ``index.json`` (``format``, ``version``, :data:`SETTINGS`, ``shard``, ``ids``) and a file of
    safetensors for every ``shard`` ids in their order. Each process opens shards on first use and maps them into
    memory. So an object can be pickled, and processes share what they read. The outputs for an image are compared with
    their checksum, so that a student never learns from data that the disk has damaged.

    Half precision keeps 11 bits: a logit or a value of a map is off by at most 1/2048 of itself. Image logits and
    :math:`s'` are few and stay float32. Boxes are whole steps of 1/65535 of width and height, as in
    :class:`~mlic_mm.datasets.ProposalFile`. They are as small as in half precision, and thirty times finer near the
    right edge.

    Args:
        path: A folder of ``tools/cache_teacher.py``.

    Raises:
        FileNotFoundError: There is no such folder, or a shard is missing because the tool was stopped.
        ValueError: The folder is no cache, or ``index.json`` is truncated. On reading: a shard is truncated or belongs
            to another cache, the outputs are damaged, or the image is not in the cache.

    Examples:
        >>> TeacherCache('data/teachers/voc07')['000005'].logits.shape  # doctest: +SKIP
        (20,)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = os.path.expanduser(path)
        file = os.path.join(self.path, INDEX)
        if not os.path.isfile(file):
            raise FileNotFoundError(f'teacher cache {self.path} not found (no {INDEX} in it); write it: {MAKE}')
        self.index = read_index(self.path)
        self.key = cache_key(self.index)
        self._rows = {img_id: row for row, img_id in enumerate(self.index['ids'])}
        self._opened: dict[int, Shard] = {}
        there = set(os.listdir(self.path))
        if missing := [number for number in self._numbers if shard_name(number) not in there]:
            raise FileNotFoundError(
                f'{self.path}: {len(missing)} of {len(self._numbers)} shards are missing, the first is '
                f'{shard_name(missing[0])}; the command that began it writes the rest: {MAKE}'
            )

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order of the data set."""
        return self.index['ids']

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return tuple(self.index['classes'])

    @property
    def fingerprint(self) -> dict[str, str]:
        """Digests of the teacher: see :func:`~mlic_mm.datasets.teacher_cache.fingerprint.teacher_fingerprint`."""
        return self.index['fingerprint']

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, img_id: object) -> bool:
        return str(img_id) in self._rows

    def __getitem__(self, img_id: str | int) -> CachedTeacher:
        row = self._rows.get(str(img_id))
        if row is None:
            kind = self.index['dataset']
            raise ValueError(
                f'{self.path}: has no outputs for image {str(img_id)!r}; it has {len(self)} images of {kind["type"]} '
                f'({kind["split"]}), the first {self.ids[0]!r}. Name the cache of this data set and split, or write '
                f'one: {MAKE} --split SPLIT'
            )
        number, row = divmod(row, self.index['shard'])
        return self._shard(number).read(row, self.index['layers'])

    def check(self) -> None:
        """Open each shard once, so that a truncated shard is found before the training and not in the middle of it."""
        for number in self._numbers:
            Shard(self.path, number, self.key)

    @property
    def _numbers(self) -> range:
        """Numbers of the shards."""
        return range(-(-len(self) // self.index['shard']))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_opened': {}}

    def __repr__(self) -> str:
        return f'TeacherCache({self.path!r})'

    def _shard(self, number: int) -> 'Shard':
        if number not in self._opened:
            self._opened[number] = Shard(self.path, number, self.key)
        return self._opened[number]


class Shard:
    """One file of a cache. The tensors stay on disk until they are read."""

    def __init__(self, folder: str | Path, number: int, key: str) -> None:
        self.path = os.path.join(folder, shard_name(number))
        cure = f'the same command with the same options writes it again: {MAKE}'
        try:
            self.file = safe_open(self.path, framework='numpy')
            metadata = self.file.metadata() or {}
            self.sizes, self.logits = self.file.get_tensor('sizes'), self.file.get_tensor('logits')
            self.sums = self.file.get_tensor('sums')
        except (SafetensorError, OSError) as error:
            raise ValueError(f'{self.path}: no shard of a teacher cache, or cut short ({error}); {cure}') from None
        if metadata != {'format': FORMAT, 'key': key, 'number': str(number)}:
            raise ValueError(
                f'{self.path}: is of another cache than the {INDEX} beside it, or damaged; delete it, and {cure}'
            )
        if self.sizes.shape != (len(self.sums), 2) or len(self.logits) != len(self.sums):
            raise ValueError(f'{self.path}: its parts do not fit together; {cure}')
        self.names = set(self.file.keys())

    def read(self, row: int, layers: Sequence[str]) -> CachedTeacher:
        """Return the outputs for image ``row`` of the shard, after a comparison with their checksum."""
        names = [f'{name}.{row}' for name in RECORD if f'{name}.{row}' in self.names]
        names += [f'map.{row}.{layer}' for layer in layers]
        try:
            parts = {name: self.file.get_tensor(name) for name in names}
        except SafetensorError:
            parts = {}
        if checksum(self.sizes[row], self.logits[row], parts) != self.sums[row]:
            raise ValueError(
                f'{self.path}: the outputs for image {row} are damaged; the same command with the same options writes '
                f'the shard again: {MAKE}'
            )
        height, width = self.sizes[row].tolist()
        cls_logits, det_logits, boxes, scores = (parts.get(f'{name}.{row}') for name in RECORD)
        if boxes is not None:
            boxes = boxes.astype(np.float32) / STEPS
        maps = {layer: parts[f'map.{row}.{layer}'] for layer in layers}
        return CachedTeacher((height, width), self.logits[row].copy(), cls_logits, det_logits, boxes, scores, maps)


def checksum(size: np.ndarray, logits: np.ndarray, parts: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of all outputs for an image, names and shapes included."""
    value = zlib.crc32(logits.tobytes(), zlib.crc32(size.tobytes()))
    for name, part in sorted(parts.items()):
        value = zlib.crc32(np.ascontiguousarray(part).data.cast('B') if part.size else b'', value)
        value = zlib.crc32(f'{name} {part.dtype} {part.shape}'.encode(), value)
    return value


def read_index(folder: str | Path) -> dict[str, Any]:
    """Read ``index.json``.

    Raises:
        ValueError: It is truncated, belongs to something else, or has another version.
    """
    file = os.path.join(folder, INDEX)
    text = Path(file).read_text(encoding='utf-8', errors='replace')
    cure = f'write the cache again: {MAKE} --force'
    # The format comes first, so that a truncated file is still recognised as ours.
    if not text.startswith(f'{{"format": "{FORMAT}"'):
        raise ValueError(f'{file}: not the index of a teacher cache; name another folder, or write one: {MAKE}')
    try:
        index = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{file}: cut short or damaged ({error}); {cure}') from None
    if index.get('version') != VERSION:
        raise ValueError(f'{file}: version {index.get("version")} of the format, known is {VERSION}; {cure}')
    if missing := [key for key in (*SETTINGS, 'shard', 'ids') if key not in index]:
        raise ValueError(f'{file}: damaged, it has no {missing[0]!r}; {cure}')
    kinds = dict(fingerprint=dict, classes=list, layers=list, regions=dict, dataset=dict, shard=int, ids=list)
    if wrong := [key for key, kind in kinds.items() if type(index[key]) is not kind]:
        raise ValueError(f'{file}: damaged, its {wrong[0]!r} is {show(index[wrong[0]])}; {cure}')
    if index['shard'] < 1 or not all(isinstance(name, str) for name in (*index['ids'], *index['layers'])):
        raise ValueError(f'{file}: damaged, a number or a name in it is invalid; {cure}')
    return index


def cache_key(index: Mapping[str, Any]) -> str:
    """Return the digest of an index. Each shard carries it."""
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def shard_name(number: int) -> str:
    """Return the file name of shard ``number``."""
    return f'{number:06d}.safetensors'
