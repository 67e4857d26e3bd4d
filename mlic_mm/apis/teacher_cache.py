"""Run a teacher once over a data set and keep its outputs."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from mlic_mm.config_files.config_file import read_config
from mlic_mm.datasets import teacher_fingerprint
from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
from mlic_mm.datasets.teacher_cache.writer import TeacherShards
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.models.teachers import Teacher
from mlic_mm.safe_load.checkpoint import plain_data_only
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.folder_lock import lock_folder
from mlic_mm.utils.progress import Bar

from .teacher_samples import TeacherSamples

__all__ = ['cache_teacher']


@plain_data_only()
def cache_teacher(
    config: str | Path,
    checkpoint: str | Path | None = None,
    *,
    out: str | Path,
    split: Literal['train', 'val', 'test'] = 'train',
    layers: Sequence[str] = (),
    iou_threshold: float = 0.4,
    num_regions: int = 100,
    batch_size: int = 8,
    workers: int | None = None,
    device: str | None = None,
    force: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Run a teacher once over a data set and store its outputs, so that students train without it.

    The images go through the test pipeline of the config. Finished shards are kept: after a stop the same call writes
    the rest. ``mlic_mm.LoadTeacher`` reads the folder.

    Args:
        config: Config that trained the teacher.
        checkpoint: Its weights; None if the model of the config names them.
        out: The folder to write.
        split: Which data set of the config.
        layers: Also keep the maps of these layers, such as ``backbone.layer3``.
        iou_threshold: Of the NMS on :math:`s'`.
        num_regions: Regions that are kept after the NMS.
        batch_size: Images at once.
        workers: Processes that load images. Defaults to at most four.
        device: Defaults to ``cuda`` if there is one, else ``cpu``.
        force: Replace a cache that was begun with another teacher, layers or images.
        options: Settings of the config to override, by dotted keys.

    Returns:
        Figures of the cache, and how to read it.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        FileExistsError: The folder has files and is no teacher cache.
        FolderInUseError: Another process writes the cache.
        ValueError: An option is invalid, the cache was begun with other settings, labels differ, or an output is not
            finite.
        OSError: The disk is full. What is finished is kept.

    Example:
        >>> print(cache_teacher('wsddn.py', 'epoch_20.pth', out='data/teachers/voc07'))  # doctest: +SKIP
        data/teachers/voc07: 5011 images, 198.9 MiB, 41615 bytes per image
        …
    """
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    for name, value, least in (('batch_size', batch_size, 1), ('num_regions', num_regions, 1), ('workers', workers, 0)):
        check_range(name, value, at_least=least, whole=True)
    out = Path(out)
    check_can_write(out / 'index.json')
    # Beside the cache, which has no files but its own.
    with lock_folder(out.parent, f'.{out.name}.lock', shown=out, option='--out'):
        cfg = read_config(config, options)
        fingerprint = teacher_fingerprint(cfg, checkpoint)
        samples = TeacherSamples(config, cfg, split, options or {})
        layers = ['' if name == 'backbone' else name for name in layers]  # as losses call it
        teacher = Teacher(cfg, checkpoint, None, layers, iou_threshold, num_regions)
        teacher.model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        for source, classes in teacher.labels.items():
            check_same_classes(samples.classes, classes, f'data set {samples.kind}', source)
        settings = dict(
            fingerprint=fingerprint,
            classes=list(samples.classes),
            layers=list(teacher.layers),
            regions=dict(iou_threshold=iou_threshold, num=num_regions),
            dataset=dict(type=samples.kind, split=split),
        )
        shards = TeacherShards(out, settings, samples.ids)
        shards.begin(force)
        _write_missing(shards, samples, teacher, batch_size, workers)
    total = sum(file.stat().st_size for file in out.iterdir())
    return (
        f'{out}: {len(samples)} images, {total / 2**20:.1f} MiB, {total / len(samples):.0f} bytes per image\n'
        f"read it with dict(type='mlic_mm.LoadTeacher', cache={str(out)!r}, config={str(config)!r}, "
        f'checkpoint={checkpoint if checkpoint is None else str(checkpoint)!r})'
    )


def _write_missing(
    shards: TeacherShards, samples: TeacherSamples, teacher: Teacher, batch_size: int, workers: int
) -> None:
    """Write the shards that are missing."""
    total, size = len(samples), shards.size
    rows = {number: list(range(number * size, min((number + 1) * size, total))) for number in shards.missing()}
    done = total - sum(map(len, rows.values()))
    if done:
        print(f'{done} of {total} images were done before', flush=True)
    # A batch lies in one shard.
    batches = [row[at : at + batch_size] for row in rows.values() for at in range(0, len(row), batch_size)]
    loader = DataLoader(
        samples, batch_sampler=batches, num_workers=workers, collate_fn=list, worker_init_fn=_leave_stops
    )
    stream = iter(loader)
    note = ''
    with Bar('images') as bar:
        bar.update(done, total)
        for number, row in rows.items():
            outputs: dict[str, CachedTeacher] = {}
            while len(outputs) < len(row):
                batch = next(stream)
                ids = samples.ids[row[len(outputs)] : row[len(outputs)] + len(batch)]
                outputs |= zip(ids, _ask(teacher, batch), strict=True)
                bar.update(done + len(outputs), total, note)
            try:
                written = shards.write(number, outputs)
            except OSError as error:
                raise OSError(
                    f'{shards.folder}: {error.strerror} after {done} of {total} images, which are kept; one shard '
                    'takes as much as another. Make room, and the same command goes on'
                ) from None
            done += len(row)
            rest = written * (total - done) // len(row)
            note = f'{rest / 2**20:.0f} MiB to come' if rest else ''
            if rest > shutil.disk_usage(shards.folder).free:
                note += ', more than is free'
            bar.update(done, total, note)


def _leave_stops(_: int) -> None:
    """Leave Ctrl-C, which reaches all processes, to the parent, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A thread that hands tensors over prints with this that the parent is gone; errors of samples go another way.
    sys.excepthook = lambda *_: None


@torch.no_grad()
def _ask(teacher: Teacher, batch: Sequence[dict]) -> Iterator[CachedTeacher]:
    """Yield the outputs of the teacher for each sample. Consecutive images of the same size form a batch."""
    device = next(teacher.model.parameters()).device
    first = 0
    while first < len(batch):
        shape = batch[first]['inputs'].shape
        last = next((i for i in range(first, len(batch)) if batch[i]['inputs'].shape != shape), len(batch))
        raw = torch.stack([packed['inputs'] for packed in batch[first:last]]).to(device).float()
        group = [packed['data_samples'] for packed in batch[first:last]]
        outputs = teacher(raw, group)
        for row, sample in enumerate(group):
            yield _kept(outputs, row, tuple(sample.ori_shape[:2]), teacher.layers)
        first = last


def _kept(outputs: DistillOutputs, row: int, size: tuple[int, int], layers: Sequence[str]) -> CachedTeacher:
    """Return what is cached of image ``row``."""
    if outputs.logits is None:
        raise ValueError('the teacher gives no logits of the image')
    cls_logits = det_logits = None
    if outputs.cls_logits is not None and outputs.det_logits is not None:
        real = ~outputs.det_logits[row].isneginf().all(1)  # the other rows fill up for images with more regions
        cls_logits, det_logits = _numpy(outputs.cls_logits[row][real]), _numpy(outputs.det_logits[row][real])
    boxes = scores = None
    if len(outputs.boxes):
        boxes, scores = _numpy(outputs.boxes[row]), _numpy(outputs.box_scores[row])
    maps = {layer: _numpy(outputs.maps[layer][row]) for layer in layers}  # a detector shows its map unasked
    return CachedTeacher(size, _numpy(outputs.logits[row]), cls_logits, det_logits, boxes, scores, maps)


def _numpy(tensor: torch.Tensor) -> Any:
    """Return single precision on the host."""
    return tensor.detach().float().cpu().numpy()
