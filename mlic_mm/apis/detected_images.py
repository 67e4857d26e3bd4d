"""What a detector finds in the images of a data set, ready to be drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample

from mlic_mm.datasets.transforms import read_image
from mlic_mm.utils.targets import target_row
from mlic_mm.visualization.context_pictures import context_picture, detections
from mlic_mm.visualization.region_pictures import NamedBox, RegionPicture, best_labels
from mlic_mm.visualization.sheet import split_labels

from .student_scores import StudentScores

__all__ = ['DetectedImages']


class _Shown(NamedTuple):
    """What is drawn of an image, for every kind of detector."""

    info: Mapping[str, Any]
    name: str
    photo: np.ndarray
    targets: np.ndarray
    truth: list[str]


class DetectedImages:
    """A detector and the images that it looks at.

    Args:
        dataset: Data set of the test.
        model: Gives boxes: its head is a ``WSDDNHead`` or a ``SpatialContextHead``.
    """

    def __init__(self, dataset: Any, model: Any) -> None:
        self.dataset, self.model = dataset, model
        self.classes: Sequence[str] = dataset.metainfo['classes']

    def find(self, images: Sequence[str]) -> list[int]:
        """Return the rows of some images, given by their ids.

        Raises:
            ValueError: The data set has no such image.
        """
        place = {str(self.dataset.get_data_info(i).get('img_id')): i for i in range(len(self.dataset))}
        if lacking := [image for image in images if image not in place]:
            raise ValueError(f'--images {lacking[0]}: the test data has no such image, it has {next(iter(place))} …')
        return [place[image] for image in images]

    def teacher_picture(
        self, row: int, students: Sequence[tuple[str, StudentScores]], regions: int, best_boxes: bool
    ) -> RegionPicture:
        """Run a weakly supervised detector on an image, and gather what is drawn of it.

        Args:
            row: Of the data set.
            students: Headings and scores of students.
            regions: How many regions to draw.
            best_boxes: Whether to draw the best box of each true label.
        """
        shown, sample = self._show(row), self._predict(row)
        boxes = []
        if best_boxes:
            found = sample.pred_instances
            for label in np.flatnonzero(shown.targets == 1).tolist():
                if (mine := found.labels == label).any():
                    box = found.bboxes[mine][found.scores[mine].argmax()].tolist()
                    boxes.append(NamedBox(self.classes[label], box))
        return RegionPicture(
            name=shown.name,
            photo=shown.photo,
            truth=shown.truth,
            regions=sample.regions.bboxes[:regions].numpy(),
            columns=[
                ('teacher', best_labels(sample.pred_score.numpy(), shown.targets, self.classes)),
                *((name, scores.best(shown.info)) for name, scores in students),
            ],
            boxes=boxes,
        )

    def context_pictures(self, rows: Sequence[int] | None, threshold: float, num: int) -> list[RegionPicture]:
        """Look for images in which only the context branch finds something, and print how often it is right.

        Args:
            rows: Draw these images. None: look at all images in random order.
            threshold: Of the scores of detections.
            num: How many images to draw, if ``rows`` is None.

        Raises:
            ValueError: There is no such image.
        """
        order = np.random.default_rng(0).permutation(len(self.dataset)).tolist() if rows is None else rows
        pictures: list[RegionPicture] = []
        counts = {True: [0, 0, 0], False: [0, 0, 0]}  # by whether only the context branch: false, true, not counted
        seen = 0
        for row in order:
            found = detections(self._predict(row), threshold)
            seen += 1
            for one in found:
                counts[one.added][one.target] += 1
            if rows is not None or any(one.added for one in found):
                shown = self._show(row)
                pictures.append(context_picture(found, shown.name, shown.photo, shown.truth, self.classes))
            if rows is None and len(pictures) == num:
                break
        if not pictures:
            raise ValueError(
                f'in none of the {seen} test images does only the context branch bring a label above {threshold}: '
                'try another --threshold'
            )
        for added, where in ((False, 'with the object branch too'), (True, 'with the context branch only')):
            wrong, right, open_ = counts[added]
            print(f'{seen} images, above {threshold} {where}: {right} true, {wrong} false, {open_} not counted')
        return pictures

    def _show(self, row: int) -> _Shown:
        info = self.dataset.get_data_info(row)
        photo, _ = read_image(info['img_path'])
        targets = target_row(info, len(self.classes))
        present, ignored = split_labels(targets, self.classes)
        return _Shown(info, str(info.get('img_id') or Path(info['img_path']).name), photo, targets, present + ignored)

    @torch.no_grad()
    def _predict(self, row: int) -> DataSample:
        return self.model.test_step(pseudo_collate([self.dataset[row]]))[0].cpu()
