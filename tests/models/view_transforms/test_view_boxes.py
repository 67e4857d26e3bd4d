"""Boxes move as the image does, and a sample of a view has boxes and sizes of the view."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.view_transforms import ComposeView, FlipView, Rotate90View, ScaleView, TranslateView, ViewTransform

# Of an image of 40 × 100 pixels, (H, W).
SIZE = (40, 100)
BOX = torch.tensor([[10.0, 5.0, 30.0, 15.0]])
MOVED = [
    (FlipView('horizontal'), [70, 5, 90, 15]),
    (FlipView('vertical'), [10, 25, 30, 35]),
    (FlipView('diagonal'), [70, 25, 90, 35]),
    (Rotate90View(1), [5, 70, 15, 90]),
    (Rotate90View(2), [70, 25, 90, 35]),
    (Rotate90View(3), [25, 10, 35, 30]),
    (ScaleView((20, 300)), [30, 2.5, 90, 7.5]),
    (TranslateView(8, -4), [18, 1, 38, 11]),
    (TranslateView(-16, -8), [0, 0, 14, 7]),
    (TranslateView(80, 0), [90, 5, 100, 15]),
    # Turned, the image has 100 × 40 pixels; the translation clips there, and the scale is that of the turned image.
    (ComposeView([Rotate90View(1), TranslateView(-8, 16), ScaleView((50, 80))]), [0, 43, 14, 50]),
]


@pytest.mark.parametrize(('view', 'expected'), MOVED, ids=lambda value: getattr(value, 'name', ''))
def test_by_hand(view: ViewTransform, expected: list[float]) -> None:
    assert view.boxes(BOX, SIZE).tolist() == [expected]
    assert view.boxes(BOX.long(), SIZE).tolist() == [expected]
    assert view.boxes(BOX[:0], SIZE).shape == (0, 4)


def test_a_box_that_leaves_the_image_keeps_its_row_without_area() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [90, 0, 100, 10]])
    assert TranslateView(-16).boxes(boxes, SIZE).tolist() == [[0, 0, 0, 10], [74, 0, 84, 10]]


CELL = 8
KINDS = ['flip', 'rotate', 'translate', 'scale']


@st.composite
def views(draw: st.DrawFn, cells: tuple[int, int]) -> ViewTransform:
    """One view, or several in a chain, of images of ``cells``.

    Before a scaling, translations are by whole cells, and scaled cells have whole pixels: all edges stay sharp.
    """
    chain: list[ViewTransform] = []
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    pixels = CELL, CELL  # of a cell, (height, width)
    for step, kind in enumerate(kinds):
        if kind == 'flip':
            chain.append(FlipView(draw(st.sampled_from(['horizontal', 'vertical', 'diagonal']))))
        elif kind == 'rotate':
            turns = draw(st.sampled_from([1, 2, 3]))
            chain.append(Rotate90View(turns))
            if turns % 2:
                cells, pixels = cells[::-1], pixels[::-1]
        elif kind == 'scale':
            pixels = draw(st.tuples(*[st.sampled_from([4, 8, 12, 16])] * 2))
            chain.append(ScaleView((cells[0] * pixels[0], cells[1] * pixels[1])))
        else:
            unit = pixels if 'scale' in kinds[step:] else (1, 1)
            y, x = (
                each * draw(st.integers(1 - count * pixel // each, count * pixel // each - 1))
                for each, count, pixel in zip(unit, cells, pixels, strict=True)
            )
            chain.append(TranslateView(x or unit[1], y))
    return chain[0] if len(chain) == 1 else ComposeView(chain)


def painted(box: Tensor, size: tuple[int, int]) -> Tensor:
    """Images of two bands, the columns and the rows of the box: the box is where both are 1."""
    x1, y1, x2, y2 = (round(side) for side in box.tolist())
    image = torch.zeros(1, 2, *size)
    image[:, 0, :, x1:x2] = 1
    image[:, 1, y1:y2] = 1
    return image


@settings(max_examples=150, deadline=None)
@given(st.data(), st.tuples(st.integers(4, 6), st.integers(4, 6)))
def test_painted_boxes_move_as_boxes(data: st.DataObject, cells: tuple[int, int]) -> None:
    view = data.draw(views(cells))
    size = (CELL * cells[0], CELL * cells[1])
    x1, y1 = (data.draw(st.integers(0, count - 2)) for count in cells[::-1])
    x2, y2 = (data.draw(st.integers(start + 2, count)) for start, count in zip((x1, y1), cells[::-1], strict=True))
    box = CELL * torch.tensor([[x1, y1, x2, y2]]).float()
    seen = (view.image(painted(box[0], size)) > 0.5).all(1)[0]
    moved = view.boxes(box, size)[0]
    assert tuple(seen.shape) == view.view_size(size)
    whole = moved.round()
    torch.testing.assert_close(moved, whole)
    expected = (painted(whole, view.view_size(size)) > 0.5).all(1)[0]
    assert torch.equal(seen, expected)


def instances(boxes: Tensor) -> InstanceData:
    return InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)))


def make_sample(**metainfo: tuple[int, ...]) -> DataSample:
    sample = DataSample(metainfo=dict(img_shape=SIZE, ori_shape=(80, 200)) | metainfo)
    sample.set_gt_score(torch.tensor([1.0, 0.0]))
    sample.set_field(BOX, 'proposals')
    sample.set_field(torch.ones(1), 'proposal_scores')
    sample.set_field(instances(torch.cat([BOX, torch.tensor([[90.0, 0, 100, 10]])])), 'gt_instances')
    sample.set_field(instances(torch.zeros(0, 4)), 'ignored_instances')
    return sample


def test_sample_of_a_view_is_a_copy() -> None:
    sample = make_sample(pad_shape=SIZE, batch_input_shape=SIZE)
    moved = Rotate90View(1).sample(sample, SIZE)
    assert moved.proposals.tolist() == [[5, 70, 15, 90]]
    assert moved.gt_instances.bboxes.tolist() == [[5, 70, 15, 90], [0, 0, 10, 10]]
    assert moved.gt_instances.labels.tolist() == [0, 1]
    assert moved.ignored_instances.bboxes.shape == (0, 4)
    assert [moved.get(key) for key in ('img_shape', 'pad_shape', 'batch_input_shape')] == [(100, 40)] * 3
    assert moved.ori_shape == (80, 200)
    assert torch.equal(moved.gt_score, sample.gt_score)
    # The original is as it was.
    assert torch.equal(sample.proposals, BOX)
    assert sample.gt_instances.bboxes[0].tolist() == BOX[0].tolist()
    assert [sample.get(key) for key in ('img_shape', 'pad_shape', 'batch_input_shape')] == [SIZE] * 3


def test_shapes_that_are_absent_stay_absent() -> None:
    sample = DataSample()
    sample.set_field(BOX, 'proposals')
    moved = ScaleView(50).sample(sample, SIZE)
    assert moved.proposals.tolist() == [[5, 6.25, 15, 18.75]]
    assert not moved.metainfo_keys()


@pytest.mark.parametrize(
    'sample', [DataSample(metainfo=dict(img_shape=SIZE)), DataSample(gt_instances=InstanceData(labels=torch.ones(1)))]
)
def test_a_sample_without_boxes_is_itself(sample: DataSample) -> None:
    assert FlipView().sample(sample, SIZE) is sample


def test_objects_that_leave_the_image_are_left_out_but_proposals_are_not() -> None:
    moved = TranslateView(-32).sample(make_sample(), SIZE)
    assert moved.gt_instances.labels.tolist() == [1]
    assert moved.gt_instances.bboxes.tolist() == [[58, 0, 68, 10]]
    assert moved.proposals.tolist() == [[0, 5, 0, 15]]
    assert len(moved.proposal_scores) == 1


def test_padding_is_scaled_and_after_a_flip_a_part_of_the_image() -> None:
    """The image is the left upper 30 × 75 pixels of 40 × 100."""
    sample = make_sample(img_shape=(30, 75), pad_shape=SIZE)

    def shapes(view: ViewTransform) -> tuple[tuple[int, int], tuple[int, int]]:
        moved = view.sample(sample, SIZE)
        return moved.img_shape, moved.pad_shape

    assert shapes(ScaleView((20, 50))) == ((15, 38), (20, 50))
    assert shapes(FlipView()) == ((30, 100), SIZE)
    assert shapes(FlipView('vertical')) == ((40, 75), SIZE)
    assert shapes(Rotate90View(1)) == ((100, 30), (100, 40))
    assert shapes(Rotate90View(3)) == ((75, 40), (100, 40))
    assert shapes(TranslateView(-8)) == (SIZE, SIZE)
    assert shapes(ComposeView([FlipView(), ScaleView((20, 50))])) == ((15, 50), (20, 50))


@pytest.mark.parametrize('side', [3, 7, 97, 192, 224, 333, 448])
def test_an_image_without_padding_has_none_in_a_view(side: int) -> None:
    for size in ((224, 224), (335, 501), (199, 448)):
        assert ScaleView(side).sample(make_sample(img_shape=(*size, 3)), size).img_shape == (side, side)


def test_boxes_of_mmdet_keep_their_type() -> None:
    structures = pytest.importorskip('mmdet.structures.bbox', exc_type=ImportError)
    sample = make_sample()
    for name in ('gt_instances', 'ignored_instances'):
        objects = sample.get(name)
        objects.bboxes = structures.HorizontalBoxes(objects.bboxes)
    for view in (FlipView(), TranslateView(-32)):
        moved = view.sample(sample, SIZE)
        assert isinstance(moved.gt_instances.bboxes, structures.HorizontalBoxes)
        assert isinstance(moved.ignored_instances.bboxes, structures.HorizontalBoxes)
        tensors = view.sample(make_sample(), SIZE).gt_instances.bboxes
        assert torch.equal(moved.gt_instances.bboxes.tensor, tensors)


def test_a_transform_of_a_third_party_says_that_it_moves_no_boxes() -> None:
    class SameView(ViewTransform):
        name = 'same'

        def image(self, images: Tensor) -> Tensor:
            return images

        def move(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
            return maps

    with pytest.raises(NotImplementedError, match=r'SameView does not move boxes.* implement its method boxes'):
        SameView().sample(make_sample(), SIZE)
