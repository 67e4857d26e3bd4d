"""Draw what a weakly supervised detector looks at, and what students say of the same images.

    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR
    python tools/draw_regions.py CONFIG CHECKPOINT --out DIR --without plain.npz --with distilled.npz --best-boxes

Writes DIR/regions.png: test images with the regions that have the highest objectness s', and beside each the best
labels of the teacher and of those score files (``tools/test.py --out``) that are given. Images are spread evenly over
the test set, those with two or three labels first; ``--images`` names others.
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
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from mlic_mm.datasets.from_config import dataset_from_config, target_row, target_rows
from mlic_mm.datasets.transforms import read_image
from mlic_mm.evaluation import ScoreDump
from mlic_mm.models.classifiers.trained_classifier import build_classifier, common_labels, read_config
from mlic_mm.utils.checkpoint import forbid_code_in_checkpoints
from mlic_mm.utils.checks import check_same_classes, check_same_names
from mlic_mm.visualization.class_maps import choose_images
from mlic_mm.visualization.region_pictures import RegionPicture, ScoredLabel, best_labels, write_region_sheet


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the teacher, whose head is mlic_mm.WSDDNHead')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for regions.png')
    parser.add_argument('--force', action='store_true', help='replace an existing picture')
    parser.add_argument('--num', type=int, default=12, help='images to draw (default: %(default)s)')
    parser.add_argument('--images', nargs='+', metavar='ID', help='these images, in this order')
    parser.add_argument('--regions', type=int, default=10, help='regions to draw of each (default: %(default)s)')
    parser.add_argument('--best-boxes', action='store_true', help='draw the best box of each true label too')
    parser.add_argument('--without', type=Path, metavar='NPZ', help='scores of the student without distillation')
    parser.add_argument('--with', type=Path, metavar='NPZ', dest='distilled', help='scores of the distilled student')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override the config: a.b=1 c="[1,2]"')
    args = parser.parse_args(argv)
    if args.num < 1 or args.regions < 1:
        parser.error('--num and --regions must be at least 1')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    forbid_code_in_checkpoints()
    try:
        draw(args)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def draw(args: argparse.Namespace) -> None:
    path = args.out / 'regions.png'
    if path.exists() and not args.force:
        raise FileExistsError(f'{path} exists and is kept; --force replaces it, --out writes elsewhere')
    students = [
        (name, Scores(ScoreDump.load(file), str(file)))
        for name, file in (('without distillation', args.without), ('with distillation', args.distilled))
        if file is not None
    ]
    model, classes = load_teacher(args)
    dataset = dataset_from_config(args.config, 'test', args.cfg_options)
    names = tuple(dataset.metainfo['classes'])
    if classes is not None:
        check_same_classes(names, classes, f'the test data of {args.config}', f'the teacher {args.checkpoint}')
    for _, scores in students:
        check_same_names(names, scores.dump.classes, f'the test data of {args.config}', scores.name)
    rows = find_images(dataset, args.images) if args.images else choose_images(target_rows(dataset), args.num)
    pictures = [picture(dataset, row, model, students, args) for row in rows]
    write_region_sheet(pictures, path)
    print(f'{path}: {len(pictures)} of {len(dataset)} images')


class Scores:
    """Score file of a student, by image.

    Args:
        dump: What it holds.
        name: Its path, for messages.
    """

    def __init__(self, dump: ScoreDump, name: str) -> None:
        self.dump, self.name = dump, name
        self.rows = {str(image): row for row, image in enumerate(dump.image_ids)}

    def best(self, info: Mapping[str, Any]) -> list[ScoredLabel]:
        """Return the best labels of a sample, found by its id or else its path."""
        row = next((self.rows[k] for key in ('img_id', 'img_path') if (k := str(info.get(key))) in self.rows), None)
        if row is None:
            raise ValueError(
                f'{self.name} has no scores of image {info.get("img_id", info["img_path"])}: use scores of the same '
                'test set'
            )
        return best_labels(self.dump.scores[row], self.dump.targets[row], self.dump.classes)


def load_teacher(args: argparse.Namespace) -> tuple[Any, tuple[str, ...] | None]:
    """Return the teacher, which gives boxes, and its label names."""
    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    head = (cfg.get('model') or {}).get('head') or {}
    if not str(head.get('type')).endswith('WSDDNHead'):
        raise ValueError(f'{args.config}: the head is {head.get("type")}; give the config of a mlic_mm.WSDDNHead')
    cfg.merge_from_dict({'model.head.test_cfg.boxes': True})
    model, labels = build_classifier(cfg, args.checkpoint)
    return model.to(args.device), common_labels(labels)


def find_images(dataset: Any, images: Sequence[str]) -> list[int]:
    """Return the rows of some images of a data set."""
    place = {str(dataset.get_data_info(i).get('img_id')): i for i in range(len(dataset))}
    if lacking := [image for image in images if image not in place]:
        raise ValueError(f'--images {lacking[0]}: the test data has no such image, it has {next(iter(place))} …')
    return [place[image] for image in images]


def picture(
    dataset: Any, row: int, model: Any, students: Sequence[tuple[str, Scores]], args: argparse.Namespace
) -> RegionPicture:
    """Run the teacher on an image and gather what is drawn of it."""
    info = dataset.get_data_info(row)
    with torch.no_grad():
        sample: DataSample = model.test_step(pseudo_collate([dataset[row]]))[0].cpu()
    names = dataset.metainfo['classes']
    targets = target_row(info, len(names))
    boxes = []
    if args.best_boxes:
        found = sample.pred_instances
        for label in np.flatnonzero(targets == 1).tolist():
            if (mine := found.labels == label).any():
                boxes.append((names[label], found.bboxes[mine][found.scores[mine].argmax()].tolist()))
    photo, _ = read_image(info['img_path'])
    return RegionPicture(
        name=str(info.get('img_id') or Path(info['img_path']).name),
        photo=photo,
        truth=[names[i] for i in np.flatnonzero(targets == 1)]
        + [f'({names[i]})' for i in np.flatnonzero(targets == -1)],
        regions=sample.regions.bboxes[: args.regions].numpy(),
        columns=[
            ('teacher', best_labels(sample.pred_score.numpy(), targets, names)),
            *((name, scores.best(info)) for name, scores in students),
        ],
        boxes=boxes,
    )


if __name__ == '__main__':
    main()
