"""Which detections are the context branch's alone, and how they are drawn on a photograph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from PIL import Image, ImageColor

from mlic_mm.datasets import VOCMultiLabel
from mlic_mm.datasets.transforms import read_image
from mlic_mm.visualization.context_pictures import context_picture, detections
from mlic_mm.visualization.region_pictures import ADDED, FOUND, LINE, PHOTO, draw_regions, write_region_sheet


def instances(boxes: list, labels: list, **scores: list) -> InstanceData:
    kept = {name: torch.tensor(values, dtype=torch.float32) for name, values in scores.items()}
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels=torch.tensor(labels).long(), **kept
    )


def sample(found: InstanceData, objects: InstanceData | None = None, ignored: InstanceData | None = None) -> DataSample:
    sample = DataSample(metainfo=dict(img_id='7'))
    sample.set_field(found, 'pred_instances')
    sample.set_field(objects or instances([], []), 'gt_instances')
    sample.set_field(ignored or instances([], []), 'ignored_instances')
    return sample


def test_found_by_hand() -> None:
    box, far = [0, 0, 10, 10], [50, 50, 60, 60]
    found = instances(
        [box, box, far, box, [0, 0, 10, 5], [0, 0, 10, 4.9]],
        [1, 2, 1, 0, 1, 1],
        scores=[0.6, 0.5, 0.8, 0.4999, 0.7, 0.9],
        object_scores=[0.5, 0.49, 0.9, 0.1, 0.3, 0.2],
        context_scores=[0.7, 0.6, 0.7, 0.9, 0.9, 0.9],
    )
    result = detections(sample(found, instances([box], [1]), instances([box], [2])), 0.5)
    assert [(one.label, one.added, one.target) for one in result] == [
        (1, True, 0),  # 0.9: its overlap is 0.49
        (1, False, 0),  # 0.8: there is none there
        (1, True, 1),  # 0.7: an overlap of just one half
        (1, False, 1),  # 0.6: the object branch alone is at the threshold
        (2, True, -1),  # 0.5: a difficult object
    ]
    assert [round(one.score, 2) for one in result] == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert result[-1].alone == pytest.approx(0.49)


def test_nothing_found_and_nothing_there() -> None:
    none = instances([], [], scores=[], object_scores=[], context_scores=[])
    assert detections(sample(none, instances([[0, 0, 9, 9]], [1])), 0.5) == []
    one = instances([[0, 0, 9, 9]], [1], scores=[0.9], object_scores=[0.9], context_scores=[0.9])
    assert [found.target for found in detections(sample(one), 0.5)] == [0]


def test_what_cannot_be_compared_is_named() -> None:
    one = instances([[0, 0, 9, 9]], [1], scores=[0.9], object_scores=[0.9])
    with pytest.raises(ValueError, match='lacks a branch'):
        detections(sample(one), 0.5)
    bare = DataSample(metainfo=dict(img_id='7'))
    with pytest.raises(ValueError, match='sample 7 has no objects'):
        detections(bare, 0.5)


def test_colours_on_a_photograph(data_root: Path, tmp_path: Path) -> None:
    """Objects of a photograph as detections: the first of the context branch alone, the others of both."""
    data = VOCMultiLabel(str(data_root / 'VOCdevkit/VOC2007'), 'test', with_boxes=True, pipeline=[], indices=40)
    infos = (data.get_data_info(i) for i in range(len(data)))
    info = next(info for info in infos if len({one['bbox_label'] for one in info['instances']}) > 1)
    boxes = [one['bbox'] for one in info['instances']]
    labels = [one['bbox_label'] for one in info['instances']]
    number = len(boxes)
    scores = np.linspace(0.9, 0.6, number).tolist()
    found = instances(boxes, labels, scores=scores, object_scores=[0.3, *scores[1:]], context_scores=scores)
    photo, _ = read_image(info['img_path'])
    names = data.metainfo['classes']
    shown = detections(sample(found, instances(boxes, labels)), 0.5)
    assert [one.added for one in shown] == [True] + [False] * (number - 1)
    picture = context_picture(shown, info['img_id'], photo, [names[i] for i in info['gt_label']], names)
    assert [heading for heading, _ in picture.columns] == [
        'context only (object)',
        f'object branch too: {number - 1}',
    ]
    assert [label.name for label in picture.columns[0][1]] == [f'{names[labels[0]]} (0.30)']
    assert all(label.target == 1 for _, column in picture.columns for label in column)

    tile = np.asarray(draw_regions(picture))
    scale = min(PHOTO[0] / photo.shape[1], PHOTO[1] / photo.shape[0])
    left, top = (PHOTO[0] - round(photo.shape[1] * scale)) // 2, LINE + 4
    for colour, drawn in ((ADDED, boxes[:1]), (FOUND, boxes[1:])):
        y, x = np.nonzero((tile[:, : PHOTO[0]] == ImageColor.getrgb(colour)).all(2))
        assert len(y)
        edges = np.array(drawn) * scale + [left, top, left, top]
        assert abs(y.max() + 1 - edges[:, 3].max()) <= 1
        assert abs(x.max() + 1 - edges[:, 2].max()) <= 1 or x.max() > edges[:, 2].max()  # a name may be wider
    write_region_sheet([picture], tmp_path / 'sheet.png')
    sheet = np.asarray(Image.open(tmp_path / 'sheet.png').convert('RGB'))
    assert (sheet == ImageColor.getrgb(ADDED)).all(2).sum() > (tile == ImageColor.getrgb(ADDED)).all(2).sum()  # legend
