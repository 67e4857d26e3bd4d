"""CorLoc by hand, against loops, and on the boxes of real photographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from mlic_mm.datasets import VOCMultiLabel
from mlic_mm.evaluation import CorLoc

CLASSES = ('cat', 'dog', 'cow')


def instances(rows: Any) -> InstanceData:
    """Rows of x1, y1, x2, y2, label and, for detections, score."""
    rows = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), -1 if len(rows) else 6)
    data = InstanceData(bboxes=rows[:, :4], labels=rows[:, 4].long())
    if rows.shape[1] == 6:
        data.scores = rows[:, 5]
    return data


def sample(found: Any, objects: Any, ignored: Any = (), name: str = 'a.jpg') -> DataSample:
    item = DataSample(metainfo=dict(img_path=name))
    item.pred_instances = instances(found)
    item.gt_instances = instances(objects)
    item.ignored_instances = instances(ignored)
    return item


def evaluate(samples: list[DataSample], classes: tuple[str, ...] | None = CLASSES, **options: Any) -> dict:
    evaluator = Evaluator(dict(type='mlic_mm.CorLoc', **options))
    if classes is not None:
        evaluator.dataset_meta = dict(classes=classes)
    for item in samples:
        evaluator.process([item])
    return evaluator.evaluate(len(samples))


def test_by_hand() -> None:
    samples = [
        # The best cat box has IoU 80/100 with the second cat; the dog's best box lies on the cat: IoU 0 with the dog.
        sample(
            [(20, 20, 30, 28, 0, 0.3), (90, 90, 99, 99, 0, 0.2), (20, 20, 30, 30, 1, 0.9), (50, 50, 60, 60, 1, 0.8)],
            [(0, 0, 10, 10, 0), (20, 20, 30, 30, 0), (50, 50, 60, 60, 1)],
        ),
        # IoU exactly 0.5, in pixels without one more: (5 · 10) / 100.
        sample([(0, 0, 5, 10, 0, 0.1)], [(0, 0, 10, 10, 0)]),
        # Just below: missed. A dog box where there is no dog costs nothing.
        sample([(0, 0, 4.9, 10, 0, 0.9), (0, 0, 9, 9, 1, 0.9)], [(0, 0, 10, 10, 0)]),
        # A cat without any box of cats is missed.
        sample([], [(0, 0, 10, 10, 0)]),
        sample([(0, 0, 10, 10, 1, 0.0)], [(0, 0, 10, 10, 1)]),
    ]
    figures = evaluate(samples, per_class=True)
    assert figures['CorLoc'] == pytest.approx((50 + 50) / 2)  # cow has no image and stays out
    per_class = figures['CorLoc_per_class']
    assert per_class['names'] == list(CLASSES)
    assert per_class['support'] == [4, 2, 0]
    np.testing.assert_array_equal(per_class['CorLoc'], [50, 50, np.nan])
    assert evaluate(samples, iou_thr=0.49)['CorLoc'] == pytest.approx((75 + 50) / 2)
    assert evaluate(samples, classes=None, prefix='train')['train/CorLoc'] == 50


def test_ignored_objects_are_none_unless_asked_for() -> None:
    samples = [
        sample([(0, 0, 10, 10, 0, 1.0)], [], [(0, 0, 10, 10, 0)]),  # only a difficult cat: does not count
        sample([(0, 0, 10, 10, 0, 1.0)], [(50, 50, 60, 60, 0)], [(0, 0, 10, 10, 0)]),  # on the difficult one: wrong
    ]
    assert evaluate(samples, per_class=True)['CorLoc_per_class']['support'] == [1, 0, 0]
    assert evaluate(samples)['CorLoc'] == 0
    assert evaluate(samples, count_ignored=True)['CorLoc'] == 100


def test_equal_scores_count_by_their_share() -> None:
    found = [(0, 0, 10, 10, 0, 0.5), (50, 50, 60, 60, 0, 0.5), (70, 70, 80, 80, 0, 0.5), (0, 0, 10, 10, 0, 0.4)]
    for order in (found, found[::-1]):
        assert evaluate([sample(order, [(0, 0, 10, 10, 0)])])['CorLoc'] == pytest.approx(100 / 3)


def test_what_is_missing_is_named() -> None:
    good = sample([(0, 0, 10, 10, 0, 0.5)], [(0, 0, 10, 10, 0)], name='b.jpg')
    without_boxes = DataSample(metainfo=dict(img_path='b.jpg'))
    with pytest.raises(ValueError, match=r'no boxes for image b\.jpg: set model\.head\.test_cfg\.boxes=True'):
        evaluate([without_boxes])
    without_boxes.pred_instances = good.pred_instances
    with pytest.raises(ValueError, match=r'image b\.jpg has no gt_instances: set with_boxes=True'):
        evaluate([without_boxes])
    with pytest.raises(ValueError, match='no image has an object'):
        evaluate([sample([(0, 0, 10, 10, 0, 0.5)], [])])
    with pytest.raises(ValueError, match=r'b\.jpg has a box of class 3, the data set has 3'):
        evaluate([sample([(0, 0, 10, 10, 3, 0.5)], [(0, 0, 10, 10, 0)], name='b.jpg')])
    with pytest.raises(ValueError, match=r'box scores of image b\.jpg are NaN'):
        evaluate([sample([(0, 0, 10, 10, 0, torch.nan)], [(0, 0, 10, 10, 0)], name='b.jpg')])
    with pytest.raises(ValueError, match='iou_thr=50 must be'):
        CorLoc(iou_thr=50)


def by_loops(samples: list[DataSample], iou_thr: float) -> float:
    """What the definition says, one image, one class and one box after the other; no two scores are equal."""
    shares = []
    for label in range(len(CLASSES)):
        judged = []
        for item in samples:
            objects = item.gt_instances.bboxes[item.gt_instances.labels == label].tolist()
            if not objects:
                continue
            found = [
                (score, box)
                for box, score, kind in zip(
                    item.pred_instances.bboxes.tolist(),
                    item.pred_instances.scores.tolist(),
                    item.pred_instances.labels.tolist(),
                    strict=True,
                )
                if kind == label
            ]
            hit = False
            if found:
                x1, y1, x2, y2 = max(found)[1]
                for a1, b1, a2, b2 in objects:
                    inside = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
                    both = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inside
                    hit |= inside / both >= iou_thr
            judged.append(hit)
        if judged:
            shares.append(sum(judged) / len(judged))
    return 100 * sum(shares) / len(shares)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 0.5]))
def test_equals_the_loops(seed: int, iou_thr: float) -> None:
    rng = np.random.default_rng(seed)

    def rows(count: int, scored: bool) -> list[tuple]:
        corners = rng.integers(0, 12, (count, 2))
        ends = corners + rng.integers(1, 12, (count, 2))
        labels = rng.integers(0, 3, (count, 1))
        parts = [corners, ends, labels, *([rng.permutation(count)[:, None] / 64] if scored else [])]
        return np.concatenate(parts, axis=1).tolist()

    samples = [sample(rows(rng.integers(0, 9), True), rows(rng.integers(1, 4), False)) for _ in range(6)]
    assert evaluate(samples, iou_thr=iou_thr)['CorLoc'] == pytest.approx(by_loops(samples, iou_thr))


def test_real_objects_are_found_by_their_own_boxes(data_root: Path) -> None:
    data = VOCMultiLabel(str(data_root / 'VOCdevkit/VOC2007'), split='test', with_boxes=True)
    metric = CorLoc(per_class=True)
    metric.dataset_meta = data.metainfo
    expected = np.zeros(20, int)
    for i in range(60):
        objects = data.get_data_info(i)['instances']
        rows = [[*o['bbox'], o['bbox_label'], 1.0] for o in objects]
        kept = [row[:5] for row, o in zip(rows, objects, strict=True) if not o['ignore_flag']]
        metric.process(None, [sample(rows, kept).to_dict()])
        expected[sorted({row[4] for row in kept})] += 1
    figures = metric.evaluate(60)
    assert figures['CorLoc_per_class']['support'] == expected.tolist()
    # Boxes of difficult objects tie with those of the others, which is the only way to miss here.
    assert 90 < figures['CorLoc'] <= 100
