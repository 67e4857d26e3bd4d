"""Draw what a detector finds in test images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.config_files.config_types import type_name
from mlic_mm.datasets.from_config import dataset_from_config
from mlic_mm.evaluation import ScoreDump
from mlic_mm.models.teachers.trained_classifier import build_classifier, common_labels
from mlic_mm.safe_load.checkpoint import plain_data_only
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_classes, check_same_names
from mlic_mm.utils.choices import check_range
from mlic_mm.utils.targets import target_rows
from mlic_mm.visualization.class_maps import choose_images
from mlic_mm.visualization.region_pictures import write_region_sheet

from .detected_images import DetectedImages
from .student_scores import StudentScores

__all__ = ['draw_region_pictures']


@plain_data_only()
def draw_region_pictures(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    force: bool = False,
    num: int = 12,
    images: Sequence[str] | None = None,
    regions: int = 10,
    best_boxes: bool = False,
    without: str | Path | None = None,
    distilled: str | Path | None = None,
    threshold: float = 0.5,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Draw what a detector finds in test images, into ``<out>/regions.png``.

    For a weakly supervised detector (``WSDDNHead``), the regions with the highest objectness are drawn. The best labels
    of the teacher and of students are written beside each image. For a network with a context branch
    (``SpatialContextHead``), the detections are drawn. Those that only the context branch brings above the threshold
    are red, and it is printed how many of them are right.

    Args:
        config: Its head is a ``WSDDNHead`` or a ``SpatialContextHead``.
        checkpoint: The weights.
        out: Folder of the picture.
        force: Replace an existing picture.
        num: How many images to draw.
        images: Draw the images of these ids, in this order.
        regions: How many regions to draw in each image.
        best_boxes: Draw the best box of each true label too.
        without: Score file of the student without distillation.
        distilled: Score file of the distilled student.
        threshold: Of the scores of detections.
        device: Defaults to ``cuda`` if there is one, else ``cpu``.
        options: Settings of the config to override, by dotted keys.

    Returns:
        A line that says how many images were drawn.

    Raises:
        FileNotFoundError: A file is missing.
        FileExistsError: The picture exists, and ``force`` is false.
        ValueError: An option is invalid, the head is of another kind, names of labels differ, or an image is not in
            the test data or in the scores of a student.

    Example:
        >>> draw_region_pictures('wsddn.py', 'epoch_20.pth', 'pictures', num=4)  # doctest: +SKIP
        'pictures/regions.png: 4 of 4952 images'
    """
    for name, value in (('num', num), ('regions', regions)):
        check_range(name, value, at_least=1, whole=True)
    check_range('threshold', threshold, at_least=0, at_most=1)
    path = Path(out) / 'regions.png'
    check_can_write(path, force)
    students = [
        (name, StudentScores(ScoreDump.load(file), str(file)))
        for name, file in (('without distillation', without), ('with distillation', distilled))
        if file is not None
    ]
    cfg = read_config(config, options)
    is_context = _give_boxes(cfg, bool(students) or best_boxes)
    model, labels = build_classifier(cfg, checkpoint)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    dataset = dataset_from_config(config, 'test', dict(options or {}))
    found = DetectedImages(dataset, model)
    names, classes = tuple(found.classes), common_labels(labels)
    if classes is not None:
        check_same_classes(names, classes, f'the test data of {config}', f'the checkpoint {checkpoint}')
    for _, scores in students:
        check_same_names(names, scores.dump.classes, f'the test data of {config}', scores.name)
    rows = found.find(images) if images else None
    if is_context:
        pictures = found.context_pictures(rows, threshold, num)
    else:
        rows = choose_images(target_rows(dataset), num) if rows is None else rows
        pictures = [found.teacher_picture(row, students, regions, best_boxes) for row in rows]
    write_region_sheet(pictures, path)
    return f'{path}: {len(pictures)} of {len(dataset)} images'


def _give_boxes(cfg: Config, for_teachers: bool) -> bool:
    """Let the model give boxes. Return whether it has a context branch.

    Raises:
        ValueError: The head is of another kind, or options for a teacher are given for a context branch.
    """
    kind = type_name(((cfg.get('model') or {}).get('head') or {}).get('type'))
    if kind == 'WSDDNHead':
        cfg.merge_from_dict({'model.head.test_cfg.boxes': True})
        return False
    if kind != 'SpatialContextHead':
        raise ValueError(
            f'{cfg.filename}: the head is {kind}; give the config of a mlic_mm.WSDDNHead or mlic_mm.SpatialContextHead'
        )
    if for_teachers:
        raise ValueError(f'{cfg.filename}: --without, --with and --best-boxes are for a mlic_mm.WSDDNHead')
    return True
