"""Eq. 3 and 4 of KD from WSD."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_pool as torchvision_roi_pool

from mlic_mm.models.losses import DistillOutputs, RoIFeatureDistillLoss, roi_feature_distance


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regions(*counts: int, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes as fractions, away from the right and lower edge, and their objectness."""
    generator = torch.Generator().manual_seed(seed)
    corners = [torch.rand(n, 2, 2, generator=generator, dtype=torch.float64).sort(1).values * 0.8 for n in counts]
    return [each.flatten(1) for each in corners], [torch.rand(n, generator=generator).double() for n in counts]


def literal(
    student: Tensor, teacher: Tensor, boxes: Sequence[Tensor], scores: Sequence[Tensor] | None, size: int
) -> float:
    """Eq. 3 and 4 region by region, with torchvision's pooling."""
    total = 0.0
    for n, each in enumerate(boxes):
        if not len(each):
            continue
        inner = 0.0
        for r, box in enumerate(each):
            pooled = []
            for side in (teacher, student):
                frame = torch.tensor([side.size(3), side.size(2)] * 2)
                weight = 1 if scores is None else scores[n][r]
                pooled.append(weight * torchvision_roi_pool(side[n : n + 1], [(box * frame)[None]], size))
            inner += ((pooled[0] - pooled[1]) ** 2).sum().item()
        total += inner / len(each)
    return total / (2 * len(boxes))


def outputs(student: Tensor, teacher: Tensor, boxes: Any, scores: Any) -> tuple[DistillOutputs, DistillOutputs]:
    return DistillOutputs(None, {'': student}), DistillOutputs(None, {'': teacher}, boxes=boxes, box_scores=scores)


def test_by_hand() -> None:
    """Two images, one and two regions of one cell of 1 × 2 maps, differences 3 and 1."""
    student = torch.tensor([[[[1.0, 5.0]]], [[[2.0, 2.0]]]])
    teacher = torch.tensor([[[[4.0, 5.0]]], [[[1.0, 5.0]]]])
    left, right = [0.0, 0, 0.1, 0.1], [0.6, 0, 0.7, 0.1]
    boxes = [torch.tensor([left]), torch.tensor([left, right])]
    scores = [torch.tensor([0.5]), torch.tensor([2.0, 0.1])]
    first, second = 0.5**2 * 3**2, (2**2 * 1**2 + 0.1**2 * 3**2) / 2
    both = outputs(student, teacher, boxes, scores)
    assert RoIFeatureDistillLoss(roi_size=1)(*both).item() == pytest.approx((first + second) / (2 * 2))
    assert RoIFeatureDistillLoss(roi_size=1, weighted=False)(*both).item() == pytest.approx((9 + (1 + 9) / 2) / 4)
    assert RoIFeatureDistillLoss(roi_size=1, loss_weight=3)(*both).item() == pytest.approx(3 * (first + second) / 4)
    # Every one of 7 × 7 parts is that cell.
    assert RoIFeatureDistillLoss()(*both).item() == pytest.approx(49 * (first + second) / 4)


@pytest.mark.parametrize('sizes', [((9, 12), (9, 12)), ((7, 7), (21, 28)), ((21, 21), (7, 14))])
@pytest.mark.parametrize('weighted', [True, False])
def test_against_literal_equations(sizes: tuple[tuple[int, int], tuple[int, int]], weighted: bool) -> None:
    """Several images with differing numbers of regions, maps of the teacher larger and smaller."""
    student, teacher = maps(3, 2, *sizes[0]), maps(3, 2, *sizes[1], seed=1)
    boxes, scores = regions(4, 1, 6)
    value = RoIFeatureDistillLoss(roi_size=3, weighted=weighted)(*outputs(student, teacher, boxes, scores))
    expected = literal(student, teacher, boxes, scores if weighted else None, 3)
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_same_regions_at_another_size() -> None:
    """A teacher's map with every cell twice in each direction shows the same in regions of whole cells."""
    student = maps(1, 2, 8, 8)
    teacher = student.repeat_interleave(2, 2).repeat_interleave(2, 3)
    # [2, 5] of 8 cells are [4, 11] of 16; fractions between those whose rounding gives just these.
    boxes = [torch.tensor([[0.26, 0.26, 0.68, 0.68]], dtype=torch.float64)]
    assert roi_feature_distance(student, teacher, boxes, size=2) == 0


def test_edge_regions_do_not_keep_student_and_teacher_apart() -> None:
    """Constant maps of the same value agree in every region, also in those that touch the right and lower edge."""
    boxes = [torch.tensor([[0.0, 0, 1, 1], [0.7, 0.8, 1, 1], [0.97, 0, 1, 0.5], [1, 1, 1, 1]])]
    assert roi_feature_distance(torch.full((1, 2, 4, 4), 3.0), torch.full((1, 2, 21, 30), 3.0), boxes) == 0


def test_no_regions() -> None:
    """An image without adds nothing, but counts; a batch without any gives zero, with gradients."""
    student, teacher = maps(2, 2, 5, 5), maps(2, 2, 5, 5, seed=1)
    boxes, scores = regions(3, 0)
    with_one = RoIFeatureDistillLoss()(*outputs(student, teacher, boxes, scores))
    alone = RoIFeatureDistillLoss()(*outputs(student[:1], teacher[:1], boxes[:1], scores[:1]))
    assert with_one.item() == pytest.approx(alone.item() / 2)
    student.requires_grad_()
    boxes, scores = regions(0, 0)
    nothing = RoIFeatureDistillLoss()(*outputs(student, teacher, boxes, scores))
    assert nothing.item() == 0
    nothing.backward()
    assert student.grad is not None
    assert (student.grad == 0).all()


def test_recycled_regions() -> None:
    """All of them equally often: the mean is the same. Some more often: they weigh more (|R'| counts copies)."""
    student, teacher = maps(1, 2, 6, 6), maps(1, 2, 6, 6, seed=1)
    (boxes,), (scores,) = regions(2)

    def value(index: list[int]) -> float:
        return RoIFeatureDistillLoss()(*outputs(student, teacher, [boxes[index]], [scores[index]])).item()

    assert value([0, 1, 0, 1]) == pytest.approx(value([0, 1]))
    assert value([0, 1, 0]) == pytest.approx((2 * value([0]) + value([1])) / 3)


def test_gradient_reaches_the_student_alone() -> None:
    student, teacher = maps(2, 2, 5, 6).requires_grad_(), maps(2, 2, 5, 6, seed=1).requires_grad_()
    boxes, scores = regions(3, 2)
    scores = [score.requires_grad_() for score in scores]
    RoIFeatureDistillLoss(roi_size=2)(*outputs(student, teacher, boxes, scores)).backward()
    assert student.grad is not None
    assert (student.grad != 0).any()
    assert teacher.grad is None
    assert all(score.grad is None for score in scores)
    frozen = teacher.detach()
    assert torch.autograd.gradcheck(lambda x: roi_feature_distance(x, frozen, boxes, scores, 2), (student,))


def test_channels_that_differ() -> None:
    """Ψ is a 1 × 1 convolution, which is learnt; with equal channels there is none."""
    student, teacher = maps(2, 3, 5, 5).float().requires_grad_(), maps(2, 5, 5, 5, seed=1).float()
    boxes, scores = regions(3, 2)
    loss = RoIFeatureDistillLoss(student_channels=3, teacher_channels=5)
    assert {name: tuple(p.shape) for name, p in loss.named_parameters()} == {
        'transform.weight': (5, 3, 1, 1),
        'transform.bias': (5,),
    }
    value = loss(*outputs(student, teacher, boxes, scores))
    weight, bias = loss.transform.parameters()
    psi = torch.einsum('nchw,dc->ndhw', student, weight[:, :, 0, 0]) + bias.view(-1, 1, 1)
    torch.testing.assert_close(value, roi_feature_distance(psi, teacher, boxes, scores))
    value.backward()
    for tensor in (student, *loss.parameters()):
        assert tensor.grad is not None
        assert (tensor.grad != 0).any()
    assert not list(RoIFeatureDistillLoss(student_channels=3, teacher_channels=3).parameters())
    assert not list(RoIFeatureDistillLoss().parameters())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Differences of 600, whose squares are beyond float16; boxes are not rounded."""
    student = torch.full((1, 2, 5, 5), 300, dtype=dtype, requires_grad=True)
    teacher = -student.detach()
    boxes = [torch.tensor([[0.0, 0, 1, 1]])]
    value = RoIFeatureDistillLoss(roi_size=1)(*outputs(student, teacher, boxes, [torch.ones(1)]))
    assert value.item() == 600**2 * 2 / 2
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_layers_by_name() -> None:
    loss = RoIFeatureDistillLoss('backbone.a', 'backbone.b', roi_size=2)
    student, teacher = maps(1, 2, 5, 5), maps(1, 2, 5, 5, seed=1)
    (boxes, scores), junk = regions(3), torch.full((1, 9, 2, 2), math.nan)
    value = loss(
        DistillOutputs(None, {'backbone.a': student, '': junk}),
        DistillOutputs(None, {'backbone.b': teacher, '': junk, 'backbone.a': junk}, boxes=boxes, box_scores=scores),
    )
    assert value.item() == pytest.approx(roi_feature_distance(student, teacher, boxes, scores, 2).item())


class TestBadInput:
    boxes, scores = regions(3)

    def test_other_channels(self) -> None:
        with pytest.raises(ValueError, match=r'set student_channels and teacher_channels=5'):
            RoIFeatureDistillLoss()(*outputs(maps(1, 3, 5, 5), maps(1, 5, 5, 5), self.boxes, self.scores))
        with pytest.raises(ValueError, match='set student_channels and teacher_channels=3'):
            RoIFeatureDistillLoss()(*outputs(maps(1, 1, 5, 5), maps(1, 3, 5, 5), self.boxes, self.scores))

    def test_one_of_the_channels(self) -> None:
        with pytest.raises(ValueError, match='student_channels=3 and teacher_channels=None must both be given'):
            RoIFeatureDistillLoss(student_channels=3)

    def test_no_regions_from_the_teacher(self) -> None:
        with pytest.raises(ValueError, match='the teacher gives no regions; it must be a detector'):
            RoIFeatureDistillLoss()(*outputs(maps(1, 3, 5, 5), maps(1, 3, 5, 5), (), ()))

    def test_regions_of_other_images(self) -> None:
        with pytest.raises(ValueError, match='boxes of 1 images for the maps of 2'):
            RoIFeatureDistillLoss()(*outputs(maps(2, 3, 5, 5), maps(2, 3, 5, 5), self.boxes, self.scores))

    def test_maps_of_other_images(self) -> None:
        with pytest.raises(ValueError, match=r'maps of 2 images \(student\) and of 1'):
            RoIFeatureDistillLoss()(*outputs(maps(2, 3, 5, 5), maps(1, 3, 5, 5), self.boxes, self.scores))

    def test_missing_maps(self) -> None:
        student, teacher = outputs(maps(1, 3, 5, 5), maps(1, 3, 5, 5), self.boxes, self.scores)
        with pytest.raises(ValueError, match=r"no map of layer 'backbone.layer3'.*--layers backbone.layer3"):
            RoIFeatureDistillLoss('', 'backbone.layer3')(student, teacher)
        with pytest.raises(ValueError, match="student gives no map of layer 'neck'"):
            RoIFeatureDistillLoss('neck', '')(student, teacher)

    def test_no_maps(self) -> None:
        student, teacher = outputs(maps(1, 3), maps(1, 3, 5, 5), self.boxes, self.scores)
        with pytest.raises(ValueError, match=r'gives shape \(1, 3\), not maps'):
            RoIFeatureDistillLoss()(student, teacher)

    def test_options(self) -> None:
        with pytest.raises(ValueError, match='roi_size=0 must be a whole number at least 1'):
            RoIFeatureDistillLoss(roi_size=0)
        with pytest.raises(ValueError, match='loss_weight=-1 must be a number at least 0'):
            RoIFeatureDistillLoss(loss_weight=-1)
