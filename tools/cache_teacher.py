"""Run a trained teacher once over a data set and keep what it says, so that students train without it.

python tools/cache_teacher.py configs/wsddn_voc07.py work_dirs/wsddn_voc07/epoch_20.pth --out data/teachers/voc07 \\
    --split train

The images go through the test pipeline of the config. Finished shards of 64 images are kept: after Ctrl-C the same
command goes on from there. A student reads the folder with mlic_mm.LoadTeacher, see docs/distillation.md. Options that
change model or pipeline (--cfg-options) belong into a config: LoadTeacher compares the cache with the config's file.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where it is run by its path
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import torch
from mmengine.config import Config
from progress import Bar
from torch.utils.data import DataLoader, Dataset

from mlic_mm.cli.command import CommandParser, ConfigOptions, command, stop_status
from mlic_mm.config_files.config_file import read_config
from mlic_mm.datasets import teacher_fingerprint
from mlic_mm.datasets.from_config import SPLITS, dataset_from_config
from mlic_mm.datasets.teacher_cache.cache import CachedTeacher, cache_key
from mlic_mm.datasets.teacher_cache.writer import SHARD, begin_cache, is_done, write_shard
from mlic_mm.models.classifiers import Teacher
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.safe_load.checkpoint import forbid_code_in_checkpoints
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes
from mlic_mm.utils.folder_lock import lock_folder


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config that trained the teacher')
    parser.add_argument('checkpoint', nargs='?', help='its weights; left out where the model of the config names them')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='the folder to write')
    parser.add_argument('--split', choices=SPLITS, default='train', help='default: %(default)s')
    parser.add_argument(
        '--layers', nargs='+', default=[], metavar='NAME', help='also keep the maps of these layers: backbone.layer3 …'
    )
    parser.add_argument('--iou-threshold', type=float, default=0.4, help='of the NMS on s′ (default: %(default)s)')
    parser.add_argument('--num-regions', type=int, default=100, help='kept after it (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=8, help='images at once (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=min(4, os.cpu_count() or 1), help='default: %(default)s')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 … (default: cuda where there is one)')
    parser.add_argument('--force', action='store_true', help='replace a cache that was written otherwise')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    for name, least in (('batch_size', 1), ('num_regions', 1), ('workers', 0)):
        if getattr(args, name) < least:
            parser.error(f'--{name.replace("_", "-")} {getattr(args, name)} must be at least {least}')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        check_can_write(args.out / 'index.json')
        # Beside the cache, which has no files but its own.
        with lock_folder(args.out.parent, f'.{args.out.name}.lock', shown=args.out, option='--out'):
            print(cache(args))
    except KeyboardInterrupt as stop:
        print('\ninterrupted: the same command goes on from here', file=sys.stderr)
        sys.exit(stop_status(stop))


def cache(args: argparse.Namespace) -> str:
    """Write what is missing of the cache and return its figures as text."""
    cfg = read_config(args.config, args.cfg_options)
    fingerprint = teacher_fingerprint(cfg, args.checkpoint)
    samples = Samples(cfg, args)
    device = torch.device(args.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    layers = ['' if name == 'backbone' else name for name in args.layers]  # as losses call it
    teacher = Teacher(cfg, args.checkpoint, None, layers, args.iou_threshold, args.num_regions)
    teacher.model.to(device)
    for source, classes in teacher.labels.items():
        check_same_classes(samples.classes, classes, f'data set {samples.kind}', source)
    settings = dict(
        fingerprint=fingerprint,
        classes=list(samples.classes),
        layers=list(teacher.layers),
        regions=dict(iou_threshold=args.iou_threshold, num=args.num_regions),
        dataset=dict(type=samples.kind, split=args.split),
    )
    key = cache_key(begin_cache(args.out, settings, samples.ids, args.force))
    run(args, samples, teacher, device, key)
    total = sum(file.stat().st_size for file in args.out.iterdir())
    return (
        f'{args.out}: {len(samples)} images, {total / 2**20:.1f} MiB, {total / len(samples):.0f} bytes per image\n'
        f"read it with dict(type='mlic_mm.LoadTeacher', cache={str(args.out)!r}, config={args.config!r}, "
        f'checkpoint={args.checkpoint!r})'
    )


class Samples(Dataset):
    """The images of a split, through the test pipeline of a config."""

    def __init__(self, cfg: Config, args: argparse.Namespace) -> None:
        options = dict(args.cfg_options or {})
        dataset = (cfg.get(f'{args.split}_dataloader') or {}).get('dataset')
        if dataset is not None and 'pipeline' not in dataset:
            raise ValueError(
                f'{args.config}: {dataset["type"]} of {args.split}_dataloader has no pipeline; give a config with the '
                'plain data set in place of one around it'
            )
        if dataset is not None:
            # Each image is read once, so that a cache of images would only take time and memory.
            steps = (
                {k: v for k, v in step.items() if k != 'cache_mb'} for step in cfg.test_dataloader.dataset.pipeline
            )
            options[f'{args.split}_dataloader.dataset.pipeline'] = list(steps)
        self.dataset = dataset_from_config(args.config, args.split, options)
        self.kind = type(self.dataset).__name__
        self.classes = tuple(self.dataset.metainfo['classes'])
        infos = (self.dataset.get_data_info(index) for index in range(len(self.dataset)))
        try:
            self.ids = [str(info['img_id']) for info in infos]
        except KeyError:
            raise ValueError(f'{args.config}: samples of {self.kind} have no img_id; outputs are kept by id') from None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        packed = self.dataset.pipeline(self.dataset.get_data_info(index))
        if packed is None:
            raise ValueError(f'image {self.ids[index]!r} cannot be read any more; start again')
        if 'ori_shape' not in packed['data_samples']:
            raise ValueError(f'{self.kind}: the test pipeline packs no ori_shape; add it to meta_keys of its last step')
        return packed


def run(args: argparse.Namespace, samples: Samples, teacher: Teacher, device: torch.device, key: str) -> None:
    """Write the shards that are missing."""
    numbers = range(-(-len(samples) // SHARD))
    rows = {number: list(range(number * SHARD, min((number + 1) * SHARD, len(samples)))) for number in numbers}
    missing = {number: rows[number] for number in numbers if not is_done(args.out, number, key, teacher.layers)}
    done = len(samples) - sum(map(len, missing.values()))
    if done:
        print(f'{done} of {len(samples)} images were done before', flush=True)
    # A batch lies in one shard.
    batches = [r[at : at + args.batch_size] for r in missing.values() for at in range(0, len(r), args.batch_size)]
    loader = DataLoader(
        samples, batch_sampler=batches, num_workers=args.workers, collate_fn=list, worker_init_fn=leave_stops
    )
    stream = iter(loader)
    note = ''
    with Bar('images') as bar:
        bar.update(done, len(samples))
        for number, row in missing.items():
            outputs: dict[str, CachedTeacher] = {}
            while len(outputs) < len(row):
                batch = next(stream)
                ids = samples.ids[row[len(outputs)] : row[len(outputs)] + len(batch)]
                outputs |= zip(ids, ask(teacher, batch, device), strict=True)
                bar.update(done + len(outputs), len(samples), note)
            try:
                size = write_shard(args.out, number, key, outputs)
            except OSError as error:
                raise OSError(
                    f'{args.out}: {error.strerror} after {done} of {len(samples)} images, which are kept; one shard '
                    'takes as much as another. Make room, and the same command goes on'
                ) from None
            done += len(row)
            rest = size * (len(samples) - done) // len(row)
            note = f'{rest / 2**20:.0f} MiB to come' if rest else ''
            if rest > shutil.disk_usage(args.out).free:
                note += ', more than is free'
            bar.update(done, len(samples), note)


def leave_stops(_: int) -> None:
    """Leave Ctrl-C, which reaches all processes, to the parent, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A thread that hands tensors over prints with this that the parent is gone; errors of samples go another way.
    sys.excepthook = lambda *_: None


@torch.no_grad()
def ask(teacher: Teacher, batch: Sequence[dict], device: torch.device) -> Iterator[CachedTeacher]:
    """Yield what the teacher says of each sample; images of one size go through it together."""
    first = 0
    while first < len(batch):
        shape = batch[first]['inputs'].shape
        last = next((i for i in range(first, len(batch)) if batch[i]['inputs'].shape != shape), len(batch))
        raw = torch.stack([packed['inputs'] for packed in batch[first:last]]).to(device).float()
        group = [packed['data_samples'] for packed in batch[first:last]]
        outputs = teacher(raw, group)
        for row, sample in enumerate(group):
            yield kept(outputs, row, tuple(sample.ori_shape[:2]), teacher.layers)
        first = last


def kept(outputs: DistillOutputs, row: int, size: tuple[int, int], layers: Sequence[str]) -> CachedTeacher:
    """Return what is cached of image ``row``."""
    if outputs.logits is None:
        raise ValueError('the teacher gives no logits of the image')
    cls_logits = det_logits = None
    if outputs.cls_logits is not None and outputs.det_logits is not None:
        real = ~outputs.det_logits[row].isneginf().all(1)  # the other rows fill up for images with more regions
        cls_logits, det_logits = numpy(outputs.cls_logits[row][real]), numpy(outputs.det_logits[row][real])
    boxes = scores = None
    if len(outputs.boxes):
        boxes, scores = numpy(outputs.boxes[row]), numpy(outputs.box_scores[row])
    maps = {layer: numpy(outputs.maps[layer][row]) for layer in layers}  # a detector shows its map unasked
    return CachedTeacher(size, numpy(outputs.logits[row]), cls_logits, det_logits, boxes, scores, maps)


def numpy(tensor: torch.Tensor) -> Any:
    """Return single precision on the host."""
    return tensor.detach().float().cpu().numpy()


if __name__ == '__main__':
    forbid_code_in_checkpoints()
    main()
