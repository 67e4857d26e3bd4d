"""Generate region proposals for all images of a data set."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.datasets.proposals.proposal_file import ProposalFile, write_proposal_file
from mlic_mm.datasets.proposals.proposal_parts import ProposalParts
from mlic_mm.models.patch_generators import PatchGenerator, proposal_recall
from mlic_mm.registry import TASK_UTILS
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.folder_lock import lock_folder

from .proposal_images import ProposalImages, list_images
from .proposal_workers import generate_parts

__all__ = ['generate_proposals']

NUMS = (100, 500, 1000)
"""Numbers of proposals that the recall is reported for."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Take one thread: many processes have one each, and a process with threads must not fork."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


@_one_thread()
def generate_proposals(
    config: str | Path,
    out: str | Path,
    *,
    split: Literal['train', 'val', 'test', 'all'] = 'all',
    generator: str | None = None,
    num: int | None = None,
    workers: int | None = None,
    force: bool = False,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Generate region proposals for all images of a data set, and write them into one file.

    Finished parts are kept in ``<out>.part/`` until the file is written. After a stop, the same call writes the rest.

    Args:
        config: A config. It may contain only a data set.
        out: The file to write.
        split: Which data set of the config.
        generator: Type of the generator, such as ``EdgeBoxesGenerator``. Defaults to ``patch_generator`` of the config.
        num: Maximum number of proposals per image. Defaults to that of the generator.
        workers: Number of processes. Defaults to the number of cores.
        force: Replace an existing file, and begin anew.
        options: Settings of the config to override, by dotted keys. Those of the generator begin with
            ``patch_generator.``

    Returns:
        Figures of the file, with the recall of the objects if the data set has boxes.

    Raises:
        FileNotFoundError: The config or the data are missing.
        FileExistsError: ``out`` exists, and ``force`` is false; or the folder of the parts has files of something else.
        FolderInUseError: Another process writes the file.
        ValueError: An option is invalid, the run was begun with other settings, or an image cannot be read.

    Example:
        >>> print(generate_proposals('voc07_448.py', 'voc07.st', generator='EdgeBoxesGenerator'))  # doctest: +SKIP
        voc07.st: 9963 images, 9963000 proposals, 95.0 MiB
        …
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    check_range('workers', workers, at_least=1, whole=True)
    out = Path(out)
    check_can_write(out, force)
    cfg = read_config(config, options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    built = _build_generator(cfg, generator, num, options or {})
    images = list_images(config, cfg, split, options)
    print(f'{len(images.paths)} images of {images.dataset["type"]}, {built}, {workers} processes', flush=True)
    with lock_folder(out.parent, f'.{out.name}.lock', shown=out, option='--out'):
        parts = ProposalParts(out.with_name(f'{out.name}.part'), built.settings, images.dataset, list(images.paths))
        parts.begin(force)
        generate_parts(parts, images, built, workers)
        write_proposal_file(out, parts.entries(), built.settings, images.dataset)
        shutil.rmtree(parts.folder)
    return _report(out, images)


def _build_generator(cfg: Config, kind: str | None, num: int | None, given: Mapping[str, Any]) -> PatchGenerator:
    """Build a generator by its type, or else that of the config.

    The options of the config are used only if it names the same generator. The given options are always used.
    """
    options = dict(cfg.get('patch_generator') or {})
    if kind:
        kind = kind if '.' in kind else f'mlic_mm.{kind}'
        if type_name(options.get('type', kind)) != type_name(kind):
            names = {key.partition('.')[2] for key in given if '.' in key}
            options = {key: value for key, value in options.items() if key in names}
        options['type'] = kind
    if 'type' not in options:
        raise ValueError(
            f'{cfg.filename} has no patch_generator=dict(type=…); name one: --generator EdgeBoxesGenerator '
            '(SelectiveSearchGenerator, RPNGenerator)'
        )
    if num is not None:
        options['num'] = num
    return TASK_UTILS.build(options)


def _report(out: Path, images: ProposalImages) -> str:
    """Return the figures of a written file as text."""
    file = ProposalFile(out)
    counts = np.array([len(file[img_id][1]) for img_id in images.paths])
    empty = int((counts == 0).sum())
    lines = [
        f'{out}: {len(file)} images, {counts.sum()} proposals, {out.stat().st_size / 2**20:.1f} MiB',
        f'proposals per image: mean {counts.mean():.0f}, fewest {counts.min()}, most {counts.max()}; '
        f'{empty} images without',
    ]
    nums = [num for num in NUMS if num <= counts.max()] or [int(counts.max())]
    pairs = ((torch.from_numpy(file[img_id][0]), boxes) for img_id, boxes in images.objects.items())
    recall, total = proposal_recall(pairs, nums)
    if not total:
        return '\n'.join([*lines, 'no recall: the data set gives no boxes'])
    lines.append(f'recall of {total} objects in {len(images.objects)} images (mean over objects):')
    for num, (half, strict) in zip(nums, recall.tolist(), strict=True):
        lines.append(f'  best {num:4d}: {half:.3f} at IoU 0.5, {strict:.3f} at IoU 0.7')
    return '\n'.join(lines)
