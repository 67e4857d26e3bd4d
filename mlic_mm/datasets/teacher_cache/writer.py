"""Write what a teacher says about each image, shard by shard, so that a run that was stopped goes on."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mlic_mm.utils.atomic_write import atomic_write

from ..proposal_file import STEPS
from .cache import FORMAT, INDEX, SETTINGS, VERSION, CachedTeacher, Shard, checksum, read_index, shard_name

SHARD = 64
"""Images in a shard: what a stop may cost."""


def is_done(folder: str | Path, number: int, key: str, layers: Sequence[str]) -> bool:
    """Whether a shard is there, whole, undamaged, and of this cache."""
    try:
        shard = Shard(folder, number, key)
        for row in range(len(shard.sizes)):
            shard.read(row, layers)
    except ValueError:
        return False
    return True


def begin_cache(
    folder: str | Path, settings: Mapping[str, Any], ids: Sequence[str], force: bool = False
) -> dict[str, Any]:
    """Write ``index.json``, or find the same one there; shards of it are kept.

    Args:
        folder (str | Path): Made where it is missing.
        settings (Mapping): :data:`SETTINGS`, fit for JSON.
        ids (Sequence[str]): Image ids, in the order of the data set.
        force (bool): Delete a cache that was begun otherwise. Only files of a cache are ever deleted.

    Returns:
        dict: The index.

    Raises:
        FileExistsError: The folder has files and is no cache of ours.
        ValueError: The cache was begun with other settings or images; the message names which. An id occurs twice.
    """
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise ValueError(f'{folder}: image id {twice!r} occurs twice; outputs are kept by id: make ids unique')
    index = json.loads(json.dumps(dict(format=FORMAT, version=VERSION, **settings, shard=SHARD, ids=list(ids))))
    folder = Path(folder)
    file = folder / INDEX
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f'{folder} is a file; choose another --out')
    if folder.exists() and any(folder.iterdir()):
        head = file.read_bytes()[:64].decode(errors='replace') if file.is_file() else ''
        if not head.startswith(f'{{"format": "{FORMAT}"'):
            raise FileExistsError(f'{folder} has files and is no teacher cache; it is left alone, choose another --out')
        if not force:
            before = read_index(folder)
            if before == index:
                return index
            raise ValueError(
                f'{folder} was begun with {_difference(before, index)}; '
                'go on with the same, choose another --out, or begin anew with --force'
            )
        for shard in folder.glob(f'{"[0-9]" * 6}.safetensors'):
            shard.unlink()
    with atomic_write(file) as part:
        part.write_text(json.dumps(index))
    return index


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for part, digest in now['fingerprint'].items():
        if before['fingerprint'].get(part) != digest:
            return f'another teacher: {part} {before["fingerprint"].get(part)!r}, now {digest!r}'
    for key in (*SETTINGS, 'shard'):
        if before[key] != now[key]:
            return f'other {key}: {before[key]}, now {now[key]}'
    return f'other images: {len(before["ids"])}, now {len(now["ids"])}, or in another order'


def write_shard(folder: str | Path, number: int, key: str, outputs: Mapping[str, CachedTeacher]) -> int:
    """Write the outputs for the images of a shard, complete or not at all.

    Args:
        folder (str | Path): Of the cache.
        number (int): Of the shard.
        key (str): :func:`cache_key` of the index.
        outputs (Mapping): By image id, in the order of the index; of any float type.

    Returns:
        int: Bytes written.

    Raises:
        ValueError: A value is not finite or does not fit into half precision, whose largest is 65504; the message names
            image and layer. Clamping would hide a teacher that has diverged.
        OSError: The disk is full, say; what was there before stays.
    """
    kept = list(outputs.values())
    tensors: dict[str, np.ndarray] = dict(
        sizes=np.array([one.size for one in kept], np.int32),
        logits=np.stack([one.logits for one in kept]).astype(np.float32),
    )
    sums = []
    for row, (img_id, one) in enumerate(outputs.items()):
        parts: dict[str, np.ndarray] = {}
        where = f'{folder}: image {img_id!r}'
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
        sums.append(checksum(tensors['sizes'][row], tensors['logits'][row], parts))
        tensors |= parts
    tensors['sums'] = np.array(sums, np.uint32)
    # The library writes memory as it lies, which is not in order for maps that are channels-last.
    data = save(
        {name: np.ascontiguousarray(values) for name, values in tensors.items()},
        {'format': FORMAT, 'key': key, 'number': str(number)},
    )
    with atomic_write(Path(folder) / shard_name(number)) as part:
        part.write_bytes(data)
    return len(data)


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
