"""Find proposals in all images of a config's data set and write them into one file.

python tools/generate_proposals.py configs/_base_/datasets/voc07_448.py --split all --out data/proposals/voc07.st \\
    --generator EdgeBoxesGenerator --cfg-options patch_generator.edges=hed

What is done is kept in FILE.part/ until the file is written: after Ctrl-C the same command goes on from there.
"""

import argparse
import inspect
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where it is run by its path
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from proposal_parts import Images, generate, merged, prepare, split_parts

from mlic_mm.cli.command import CommandParser, ConfigOptions, command, stop_status
from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_class, type_name
from mlic_mm.datasets import LoadImage
from mlic_mm.datasets.from_config import SPLITS, dataset_from_config
from mlic_mm.datasets.proposal_file import ProposalFile, write_proposal_file
from mlic_mm.models.patch_generators import PatchGenerator, proposal_recall
from mlic_mm.registry import DATASETS, TASK_UTILS
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.folder_lock import lock_folder

NUMS = (100, 500, 1000)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config file, also one of a data set alone')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the file to write')
    parser.add_argument('--split', choices=(*SPLITS, 'all'), default='all', help='default: %(default)s')
    parser.add_argument(
        '--generator',
        metavar='TYPE',
        help='EdgeBoxesGenerator, SelectiveSearchGenerator, RPNGenerator or your own; default: patch_generator of the '
        'config. Its options: --cfg-options patch_generator.NAME=VALUE',
    )
    parser.add_argument('--num', type=int, help='most proposals of an image (default: of the generator, 1000)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='replace an existing file, and begin anew')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f'--workers {args.workers} must be at least 1')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    # Many processes with one thread each, and no threads in this one when it forks.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        check_can_write(args.out, args.force)
        cfg = read_config(args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        generator = build_generator(cfg, args)
        images = collect(cfg, args)
        print(
            f'{len(images.paths)} images of {images.dataset["type"]}, {generator}, {args.workers} processes', flush=True
        )
        with lock_folder(args.out.parent, f'.{args.out.name}.lock', shown=args.out, option='--out'):
            write(args, images, generator)
    except KeyboardInterrupt as stop:
        print('\ninterrupted: the same command goes on from here', file=sys.stderr)
        sys.exit(stop_status(stop))


def write(args: argparse.Namespace, images: Images, generator: PatchGenerator) -> None:
    """Write the parts that are missing, join them and print the figures."""
    folder = args.out.with_name(f'{args.out.name}.part')
    prepare(folder, images, generator, args.force)
    parts = split_parts(images, folder)
    generate(parts, images, generator, args.workers)
    write_proposal_file(args.out, merged(parts), generator.settings, images.dataset)
    shutil.rmtree(folder)
    print(report(args.out, images))


def build_generator(cfg: Config, args: argparse.Namespace) -> PatchGenerator:
    """Build the generator of the command line, or else of the config.

    Options in the config count where it names the same generator; those of ``--cfg-options`` always.
    """
    options = dict(cfg.get('patch_generator') or {})
    if args.generator:
        kind = args.generator if '.' in args.generator else f'mlic_mm.{args.generator}'
        if type_name(options.get('type', kind)) != type_name(kind):
            given = {key.partition('.')[2]: value for key, value in (args.cfg_options or {}).items() if '.' in key}
            options = {key: value for key, value in options.items() if key in given}
        options['type'] = kind
    if 'type' not in options:
        raise ValueError(
            f'{args.config} has no patch_generator=dict(type=…); name one: --generator EdgeBoxesGenerator '
            '(SelectiveSearchGenerator, RPNGenerator)'
        )
    if args.num is not None:
        options['num'] = args.num
    return TASK_UTILS.build(options)


def collect(cfg: Config, args: argparse.Namespace) -> Images:
    """Build the data sets of the asked splits and list their images, each once."""
    names: tuple[str, ...] = SPLITS if args.split == 'all' else (args.split,)
    names = tuple(name for name in names if args.split != 'all' or cfg.get(f'{name}_dataloader') is not None)
    if not names:
        raise ValueError(f'{args.config} has no data loader; name a config with data')
    paths: dict[str, str] = {}
    objects: dict[str, torch.Tensor] = {}
    kinds: list[str] = []
    loader = LoadImage()
    for name in names:
        options = dict(args.cfg_options or {})
        if loaders := (cfg.get(f'{name}_dataloader') or {}).get('dataset', {}):
            loader = own_loader(loaders.get('pipeline') or [])
            # Not the rest of the pipeline: it may name the very file that is to be written.
            options[f'{name}_dataloader.dataset.pipeline'] = [
                dict(type='mlic_mm.LoadImage', on_error='skip', max_pixels=loader.max_pixels)
            ][: loader.on_error == 'skip']
            kind = type_class(DATASETS, loaders['type'])
            if any('with_boxes' in inspect.signature(base).parameters for base in (kind.__mro__ if kind else ())[:-1]):
                options[f'{name}_dataloader.dataset.with_boxes'] = True
        dataset = dataset_from_config(args.config, name, options)
        kinds.append(type(dataset).__name__)
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            if 'img_id' not in info or 'img_path' not in info:
                raise ValueError(
                    f'{args.config}: samples of {kinds[-1]} have no img_id and img_path; proposals are kept by id'
                )
            img_id = str(info['img_id'])
            if paths.setdefault(img_id, info['img_path']) != info['img_path']:
                raise ValueError(
                    f'image id {img_id!r} is that of {paths[img_id]} and of {info["img_path"]}; write one file for '
                    'each split: --split'
                )
            if 'instances' in info:
                boxes = [o['bbox'] for o in info['instances'] if not o.get('ignore_flag', 0)]
                objects[img_id] = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    if len(set(kinds)) > 1:
        raise ValueError(f'{args.config}: the splits are of {", ".join(kinds)}; write one file for each: --split')
    return Images(paths, objects, dict(type=kinds[0], id_type='str', splits=list(names)), loader)


def own_loader(pipeline: Sequence[dict]) -> LoadImage:
    """Return the pipeline's loader, for images at full size and without its cache."""
    for step in pipeline:
        if type_name(step['type']) == 'LoadImage':
            return LoadImage(**{key: step[key] for key in ('on_error', 'max_pixels') if key in step})
    return LoadImage()


def report(out: Path, images: Images) -> str:
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


if __name__ == '__main__':
    main()
