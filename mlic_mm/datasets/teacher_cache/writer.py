"""Write the outputs of a teacher, shard by shard, so that a stopped run can continue."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mlic_mm.utils.atomic_write import atomic_write
from mlic_mm.utils.shard_store import ShardStore

from ..proposals.proposal_file import STEPS
from .cache import FORMAT, INDEX, SETTINGS, VERSION, CachedTeacher, Shard, cache_key, checksum, read_index, shard_name

__all__ = ['TeacherShards']


class TeacherShards(ShardStore):
    """The shards of a teacher cache, while they are written. :class:`TeacherCache` reads them.

    Args:
        folder: Is made if it is missing.
        settings: :data:`SETTINGS`, fit for JSON.
        ids: Image ids, in the order of the data set.

    Raises:
        ValueError: An id occurs twice.
    """

    kind = 'teacher cache'
    index_name = INDEX
    index_start = f'{{"format": "{FORMAT}"'
    pattern = f'{"[0-9]" * 6}.safetensors'
    size = 64

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], ids: Sequence[str]) -> None:
        if len(set(ids)) < len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise ValueError(f'{folder}: image id {twice!r} occurs twice; outputs are kept by id: make ids unique')
        index = dict(format=FORMAT, version=VERSION, **settings, shard=self.size, ids=list(ids))
        super().__init__(folder, index, ids)
        self.key = cache_key(self.index)

    def path_of(self, number: int) -> Path:
        return self.folder / shard_name(number)

    def is_done(self, number: int) -> bool:
        """Return whether a shard is there, whole, undamaged, and of this cache."""
        try:
            shard = Shard(self.folder, number, self.key)
            for row in range(len(shard.sizes)):
                shard.read(row, self.index['layers'])
        except ValueError:
            return False
        return True

    def read_index(self) -> dict[str, Any]:
        return read_index(self.folder)

    def difference(self, before: Mapping[str, Any]) -> str:
        now = self.index
        for part, digest in now['fingerprint'].items():
            if before['fingerprint'].get(part) != digest:
                return f'another teacher: {part} {before["fingerprint"].get(part)!r}, now {digest!r}'
        layers = [[name or 'backbone' for name in index['layers']] for index in (before, now)]
        if layers[0] != layers[1]:
            return f'other layers: {", ".join(layers[0]) or "none"}, now {", ".join(layers[1]) or "none"}'
        for key in (*SETTINGS, 'shard'):
            if before[key] != now[key]:
                return f'other {key}: {before[key]}, now {now[key]}'
        return f'other images: {len(before["ids"])}, now {len(now["ids"])}, or in another order'

    def write(self, number: int, outputs: Mapping[str, CachedTeacher]) -> int:
        """Write the outputs for the images of a shard, complete or not at all.

        Args:
            number: Of the shard.
            outputs: By image id, in the order of the index; of any float type.

        Returns:
            Bytes written.

        Raises:
            ValueError: A value is not finite or does not fit into half precision, whose largest is 65504; the message
                names image and layer. Clamping would hide a teacher that has diverged.
            OSError: For example, the disk is full. Files that were there before are kept.
        """
        kept = list(outputs.values())
        tensors: dict[str, np.ndarray] = dict(
            sizes=np.array([one.size for one in kept], np.int32),
            logits=np.stack([one.logits for one in kept]).astype(np.float32),
        )
        sums = []
        for row, (img_id, one) in enumerate(outputs.items()):
            parts = _pack(row, one, f'{self.folder}: image {img_id!r}')
            sums.append(checksum(tensors['sizes'][row], tensors['logits'][row], parts))
            tensors |= parts
        tensors['sums'] = np.array(sums, np.uint32)
        # The library writes memory as it lies, which is not in order for maps that are channels-last.
        data = save(
            {name: np.ascontiguousarray(values) for name, values in tensors.items()},
            {'format': FORMAT, 'key': self.key, 'number': str(number)},
        )
        with atomic_write(self.path_of(number)) as part:
            part.write_bytes(data)
        return len(data)


def _pack(row: int, one: CachedTeacher, where: str) -> dict[str, np.ndarray]:
    """Return the tensors of an image besides size and image logits, by their names in the shard."""
    parts: dict[str, np.ndarray] = {}
    for name in ('logits', 'boxes', 'scores'):
        if getattr(one, name) is not None and not np.isfinite(getattr(one, name)).all():
            raise ValueError(f'{where}, {name}: a value is not finite; the teacher has diverged, train it again')
    for name in ('cls_logits', 'det_logits'):
        if getattr(one, name) is not None:
            parts[f'{name}.{row}'] = _half(f'{where}, {name}', getattr(one, name))
    if one.boxes is not None and one.scores is not None:
        parts[f'boxes.{row}'] = np.rint(np.clip(one.boxes, 0, 1) * STEPS).astype(np.uint16)
        parts[f'scores.{row}'] = one.scores.astype(np.float32)
    for layer, values in one.maps.items():
        parts[f'map.{row}.{layer}'] = _half(f'{where}, layer {layer!r}', values)
    return parts


def _half(where: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over='ignore', invalid='ignore'):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        worst = values[~np.isfinite(half)].flat[0]
        raise ValueError(
            f'{where}: {worst} does not fit into half precision (65504 at most); a teacher with such outputs has '
            'diverged: train it again, or leave the layer out'
        )
    return half
