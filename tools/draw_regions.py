"""Draw what a detector finds in test images.

    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR
    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR --without plain.npz --with distilled.npz --best-boxes
    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR --threshold 0.4

Writes DIR/regions.png. Of a weakly supervised detector (WSDDNHead) the regions that have the highest objectness s', and
beside each image the best labels of the teacher and of those score files (``tools/test.py --out``) that are given.
Images are spread evenly over the test set, those with two or three labels first.

Of a network with a context branch (SpatialContextHead) the detections that score ``--threshold`` or more, in red those
that the object branch alone leaves below it, and whether such an object is there. Images are looked at in random order
until ``--num`` have something in red; how many were looked at, and what was red in them, is printed.

``--images`` names images in either case.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs its own package, installed or not
import mlic_mm  # noqa: F401  (first, since it says what to install where something is missing)

# isort: split
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from mlic_mm.cli.command import CommandParser, ConfigOptions, command
from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.datasets.from_config import dataset_from_config, target_row, target_rows
from mlic_mm.datasets.transforms import read_image
from mlic_mm.evaluation import ScoreDump
from mlic_mm.models.classifiers.trained_classifier import build_classifier, common_labels
from mlic_mm.safe_load.checkpoint import forbid_code_in_checkpoints
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes, check_same_names
from mlic_mm.visualization.class_maps import choose_images
from mlic_mm.visualization.context_pictures import context_picture, detections
from mlic_mm.visualization.region_pictures import (
    NamedBox,
    RegionPicture,
    ScoredLabel,
    best_labels,
    write_region_sheet,
)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='its head is mlic_mm.WSDDNHead or mlic_mm.SpatialContextHead')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for regions.png')
    parser.add_argument('--force', action='store_true', help='replace an existing picture')
    parser.add_argument('--num', type=int, default=12, help='images to draw (default: %(default)s)')
    parser.add_argument('--images', nargs='+', metavar='ID', help='these images, in this order')
    parser.add_argument('--regions', type=int, default=10, help='regions to draw of each (default: %(default)s)')
    parser.add_argument('--best-boxes', action='store_true', help='draw the best box of each true label too')
    parser.add_argument('--without', type=Path, metavar='NPZ', help='scores of the student without distillation')
    parser.add_argument('--with', type=Path, metavar='NPZ', dest='distilled', help='scores of the distilled student')
    parser.add_argument('--threshold', type=float, default=0.5, help='of detections (default: %(default)s)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    if args.num < 1 or args.regions < 1:
        parser.error('--num and --regions must be at least 1')
    if not 0 <= args.threshold <= 1:
        parser.error('--threshold must lie between 0 and 1')
    return args


@command
def main(argv: Sequence[str] | None = None) -> None:
    forbid_code_in_checkpoints()
    draw(parse_args(argv))


def draw(args: argparse.Namespace) -> None:
    path = args.out / 'regions.png'
    check_can_write(path, args.force)
    students = [
        (name, Scores(ScoreDump.load(file), str(file)))
        for name, file in (('without distillation', args.without), ('with distillation', args.distilled))
        if file is not None
    ]
    model, classes = load_model(args)
    dataset = dataset_from_config(args.config, 'test', args.cfg_options)
    names = tuple(dataset.metainfo['classes'])
    if classes is not None:
        check_same_classes(names, classes, f'the test data of {args.config}', f'the checkpoint {args.checkpoint}')
    for _, scores in students:
        check_same_names(names, scores.dump.classes, f'the test data of {args.config}', scores.name)
    if type(model.head).__name__ == 'SpatialContextHead':
        pictures = context_pictures(dataset, model, args)
    else:
        rows = find_images(dataset, args.images) if args.images else choose_images(target_rows(dataset), args.num)
        pictures = [teacher_picture(dataset, row, model, students, args) for row in rows]
    write_region_sheet(pictures, path)
    print(f'{path}: {len(pictures)} of {len(dataset)} images')


class Scores:
    """Score file of a student, by image.

    Args:
        dump: What it holds.
        name: Its path, for messages.
    """

    def __init__(self, dump: ScoreDump, name: str) -> None:
        self.dump, self.name = dump.with_distinct_ids(), name
        self.rows = {str(image): row for row, image in enumerate(self.dump.image_ids)}

    def best(self, info: Mapping[str, Any]) -> list[ScoredLabel]:
        """Return the best labels of a sample, found by its id or else its path."""
        row = next((self.rows[k] for key in ('img_id', 'img_path') if (k := str(info.get(key))) in self.rows), None)
        if row is None:
            raise ValueError(
                f'{self.name} has no scores of image {info.get("img_id", info["img_path"])}: use scores of the same '
                'test set'
            )
        return best_labels(self.dump.scores[row], self.dump.targets[row], self.dump.classes)


def load_model(args: argparse.Namespace) -> tuple[Any, tuple[str, ...] | None]:
    """Return the model, which gives boxes, and its label names."""
    cfg = read_config(args.config, args.cfg_options)
    kind = type_name(((cfg.get('model') or {}).get('head') or {}).get('type'))
    if kind == 'WSDDNHead':
        cfg.merge_from_dict({'model.head.test_cfg.boxes': True})
    elif kind != 'SpatialContextHead':
        raise ValueError(
            f'{args.config}: the head is {kind}; give the config of a mlic_mm.WSDDNHead or mlic_mm.SpatialContextHead'
        )
    elif args.without or args.distilled or args.best_boxes:
        raise ValueError(f'{args.config}: --without, --with and --best-boxes are for a mlic_mm.WSDDNHead')
    model, labels = build_classifier(cfg, args.checkpoint)
    return model.to(args.device), common_labels(labels)


def find_images(dataset: Any, images: Sequence[str]) -> list[int]:
    """Return the rows of some images of a data set."""
    place = {str(dataset.get_data_info(i).get('img_id')): i for i in range(len(dataset))}
    if lacking := [image for image in images if image not in place]:
        raise ValueError(f'--images {lacking[0]}: the test data has no such image, it has {next(iter(place))} …')
    return [place[image] for image in images]


def predict(dataset: Any, row: int, model: Any) -> DataSample:
    """Run the model on an image."""
    with torch.no_grad():
        return model.test_step(pseudo_collate([dataset[row]]))[0].cpu()


def name_of(info: Mapping[str, Any]) -> str:
    return str(info.get('img_id') or Path(info['img_path']).name)


def true_labels(targets: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the labels of an image, in brackets those that are ignored."""
    return [names[i] for i in np.flatnonzero(targets == 1).tolist()] + [
        f'({names[i]})' for i in np.flatnonzero(targets == -1).tolist()
    ]


def context_pictures(dataset: Any, model: Any, args: argparse.Namespace) -> list[RegionPicture]:
    """Look for images in which only the context branch finds something, and say how often it is right."""
    names = dataset.metainfo['classes']
    rows = find_images(dataset, args.images) if args.images else np.random.default_rng(0).permutation(len(dataset))
    pictures: list[RegionPicture] = []
    counts = {True: [0, 0, 0], False: [0, 0, 0]}  # by whether only the context branch: false, true, not counted
    seen = 0
    for row in rows:
        found = detections(predict(dataset, int(row), model), args.threshold)
        seen += 1
        for one in found:
            counts[one.added][one.target] += 1
        if args.images or any(one.added for one in found):
            info = dataset.get_data_info(int(row))
            photo, _ = read_image(info['img_path'])
            truth = true_labels(target_row(info, len(names)), names)
            pictures.append(context_picture(found, name_of(info), photo, truth, names))
        if not args.images and len(pictures) == args.num:
            break
    if not pictures:
        raise ValueError(
            f'in none of the {seen} test images does only the context branch bring a label above {args.threshold}: '
            'try another --threshold'
        )
    for added, where in ((False, 'with the object branch too'), (True, 'with the context branch only')):
        wrong, right, open_ = counts[added]
        print(f'{seen} images, above {args.threshold} {where}: {right} true, {wrong} false, {open_} not counted')
    return pictures


def teacher_picture(
    dataset: Any, row: int, model: Any, students: Sequence[tuple[str, Scores]], args: argparse.Namespace
) -> RegionPicture:
    """Run the teacher on an image and gather what is drawn of it."""
    info = dataset.get_data_info(row)
    sample = predict(dataset, row, model)
    names = dataset.metainfo['classes']
    targets = target_row(info, len(names))
    boxes = []
    if args.best_boxes:
        found = sample.pred_instances
        for label in np.flatnonzero(targets == 1).tolist():
            if (mine := found.labels == label).any():
                boxes.append(NamedBox(names[label], found.bboxes[mine][found.scores[mine].argmax()].tolist()))
    photo, _ = read_image(info['img_path'])
    return RegionPicture(
        name=name_of(info),
        photo=photo,
        truth=true_labels(targets, names),
        regions=sample.regions.bboxes[: args.regions].numpy(),
        columns=[
            ('teacher', best_labels(sample.pred_score.numpy(), targets, names)),
            *((name, scores.best(info)) for name, scores in students),
        ],
        boxes=boxes,
    )


if __name__ == '__main__':
    main()
