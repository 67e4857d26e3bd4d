"""Labels of patches."""

from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from mlic_mm.models.heads.patch_targets import patch_targets

pytestmark = pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)


def objects(*found: tuple[float, ...]) -> InstanceData:
    """Each [x1, y1, x2, y2, label]."""
    table = torch.tensor(found).reshape(-1, 5)
    return InstanceData(bboxes=table[:, :4], labels=table[:, 4].long())


NONE = objects()


def test_matched_objects_by_hand() -> None:
    """With an IoU of at least 0.5: of two objects of one place both, of half an object none."""
    patches = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [50, 50, 60, 60]])
    there = objects((0, 0, 10, 10, 0), (0, 0, 10, 6, 2))
    assert patch_targets(patches, there, NONE, 4, iou=0.5).tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert patch_targets(patches, there, NONE, 4, iou=0.7).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_held_objects_by_hand() -> None:
    """Half of the object is inside; how much of the patch it is does not matter."""
    patches = torch.tensor([[0.0, 0, 100, 100]])
    there = objects((0, 0, 5, 5, 0), (95, 0, 105, 10, 1), (95.5, 0, 105.5, 10, 2), (200, 200, 210, 210, 3))
    assert patch_targets(patches, there, NONE, 4).tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize('iou', [None, 0.5])
def test_what_is_ignored_leaves_labels_open(iou: float | None) -> None:
    patches = torch.tensor([[0.0, 0, 10, 10], [20, 20, 24, 24], [90, 90, 99, 99]])
    hard = objects((0, 0, 10, 10, 1), (0, 0, 10, 10, 2), (15, 15, 60, 60, 0))  # the last one is a crowd around a patch
    there = objects((0, 0, 10, 10, 1))
    assert patch_targets(patches, there, hard, 3, iou).tolist() == [[0, 1, -1], [-1, 0, 0], [0, 0, 0]]


def test_nothing() -> None:
    assert patch_targets(torch.zeros(0, 4), NONE, NONE, 3).shape == (0, 3)
    assert patch_targets(torch.rand(2, 4), NONE, NONE, 3, 0.5).tolist() == [[0] * 3] * 2


corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(1, 8), st.integers(1, 8), st.integers(0, 2))


@settings(max_examples=60)
@given(st.lists(box, max_size=4), st.lists(box, max_size=3), st.lists(box, min_size=1, max_size=3), st.booleans())
def test_same_as_literal_loops(there: list, hard: list, patches: list, match: bool) -> None:
    """Areas of boxes on whole pixels are counted in cells."""

    def cells(x: int, y: int, w: int, h: int, _: int) -> set[tuple[int, int]]:
        return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}

    def table(rows: list) -> InstanceData:
        return objects(*((x, y, x + w, y + h, label) for x, y, w, h, label in rows))

    def has(a: set, b: set) -> bool:
        return 2 * len(a & b) >= (len(a | b) if match else len(b))

    expected = [[0] * 3 for _ in patches]
    for row, patch in enumerate(patches):
        for other in hard:
            inside = 2 * len(cells(*patch) & cells(*other)) >= len(cells(*patch))
            if has(cells(*patch), cells(*other)) or inside:
                expected[row][other[4]] = -1
        for other in there:
            if has(cells(*patch), cells(*other)):
                expected[row][other[4]] = 1
    found = patch_targets(table(patches).bboxes, table(there), table(hard), 3, 0.5 if match else None)
    assert found.tolist() == expected
