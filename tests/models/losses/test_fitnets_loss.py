import pytest
import torch
from torch import Tensor

from mlic_mm.models.losses import DistillOutputs, FitNetsLoss


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def call(loss: FitNetsLoss, student: Tensor, teacher: Tensor) -> Tensor:
    return loss(DistillOutputs(None, {'': student}), DistillOutputs(None, {'': teacher}))


def test_by_hand() -> None:
    """Differences 3 and 4 in one image, 1 in the other: (9 + 16 + 1) / 2 / 2."""
    student = torch.tensor([[[[3.0, 4.0]]], [[[7.0, 7.0]]]])
    teacher = torch.tensor([[[[0.0, 0.0]]], [[[7.0, 8.0]]]])
    assert call(FitNetsLoss(), student, teacher).item() == 6.5
    assert call(FitNetsLoss(loss_weight=2), student, teacher).item() == 13


def test_against_eq_3() -> None:
    """With a regressor, place by place and channel by channel."""
    student, teacher = maps(2, 3, 4, 5).requires_grad_(), maps(2, 6, 4, 5, seed=1).requires_grad_()
    loss = FitNetsLoss(student_channels=3, teacher_channels=6)
    weight, bias = loss.regressor.parameters()
    expected = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(5):
                expected += (
                    (teacher[n, :, y, x] - weight[:, :, 0, 0] @ student[n, :, y, x] - bias).square().sum().item()
                )
    value = call(loss, student, teacher)
    assert value.item() == pytest.approx(expected / 2 / 2, rel=1e-5)
    value.backward()
    for tensor in (student, weight, bias):
        assert tensor.grad is not None
        assert (tensor.grad != 0).any()
    assert teacher.grad is None


def test_regressor_only_where_channels_differ() -> None:
    assert not list(FitNetsLoss().parameters())
    assert not list(FitNetsLoss(student_channels=4, teacher_channels=4).parameters())
    different = FitNetsLoss(student_channels=3, teacher_channels=4)
    assert list(different.state_dict()) == ['regressor.weight', 'regressor.bias']  # keys of checkpoints


@pytest.mark.parametrize('layers', [('backbone',), ('', 'backbone'), ('backbone', ''), ('backbone', 'backbone')])
def test_the_backbone_has_two_names(layers: tuple[str, ...]) -> None:
    assert call(FitNetsLoss(*layers), maps(2, 3, 4, 4), maps(2, 3, 4, 4)).item() == 0


def test_larger_maps_of_the_teacher_are_averaged() -> None:
    student = maps(2, 3, 4, 4)
    teacher = student.repeat_interleave(3, 2).repeat_interleave(2, 3)
    noise = torch.tensor([[0.5, -0.5]]).repeat(12, 4)
    torch.testing.assert_close(call(FitNetsLoss(), student, teacher + noise), torch.tensor(0.0))
    torch.testing.assert_close(call(FitNetsLoss(), student + 1, teacher), torch.tensor(3 * 16 / 2))


def test_smaller_maps_of_the_teacher_are_repeated() -> None:
    teacher = maps(2, 3, 2, 2)
    student = teacher.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(call(FitNetsLoss(), student, teacher), torch.tensor(0.0))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """600 squared is beyond float16, and so is the sum of 100 such."""
    student = torch.full((1, 1, 10, 10), 300, dtype=dtype, requires_grad=True)
    value = call(FitNetsLoss(), student, -student.detach())
    assert value.item() == 100 * 600**2 / 2
    value.backward()
    assert student.grad is not None
    assert (student.grad == 600).all()


def test_zero_maps() -> None:
    student = torch.zeros(1, 2, 3, 3, requires_grad=True)
    value = call(FitNetsLoss(), student, torch.zeros(1, 2, 3, 3))
    value.backward()
    assert value == 0
    assert student.grad is not None
    assert (student.grad == 0).all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r'maps of shapes .* must have .* set student_channels and teacher_channels=5'):
        call(FitNetsLoss(), maps(1, 1, 4, 4), maps(1, 5, 4, 4))
    with pytest.raises(ValueError, match=r'maps of 1 images \(student\) and of 2'):
        call(FitNetsLoss(), maps(1, 3, 4, 4), maps(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"FitNetsLoss: the teacher gives no map of layer 'a'.*--layers a"):
        call(FitNetsLoss(teacher_layer='a'), maps(1, 3, 4, 4), maps(1, 3, 4, 4))
    with pytest.raises(ValueError, match='student_channels=None and teacher_channels=3 must both be given'):
        FitNetsLoss(teacher_channels=3)
