import math

import pytest
import torch
from torch import Tensor

from mlic_mm.models.losses import AttentionTransferLoss, DistillOutputs
from mlic_mm.models.losses.attention_transfer_loss import activation_attention


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def call(loss: AttentionTransferLoss, student: Tensor, teacher: Tensor) -> Tensor:
    return loss(DistillOutputs(None, {'': student}), DistillOutputs(None, {'': teacher}))


def test_by_hand() -> None:
    """Squares (1 + 2, 4) of norm 5 against (0, 1): ((0.6 − 0)² + (0.8 − 1)²) / 2."""
    student = torch.tensor([[[[1.0, 2.0]], [[math.sqrt(2), 0.0]]]])
    teacher = torch.tensor([[[[0.0, -7.0]]]])  # of another number of channels, and the sign does not count
    assert call(AttentionTransferLoss(), student, teacher).item() == pytest.approx(0.2)
    assert call(AttentionTransferLoss(loss_weight=5), student, teacher).item() == pytest.approx(1)


def test_against_eq_2() -> None:
    """The square of the norm, number by number; averaged over images."""
    student, teacher = maps(3, 2, 4, 5), maps(3, 6, 4, 5, seed=1)
    expected = 0.0
    for n in range(3):
        attentions = []
        for side in (student[n], teacher[n]):
            squares = [sum(v * v for v in side[:, y, x].tolist()) for y in range(4) for x in range(5)]
            norm = math.sqrt(sum(q * q for q in squares))
            attentions.append([q / norm for q in squares])
        expected += sum((a - b) ** 2 for a, b in zip(*attentions, strict=True)) / 2
    assert call(AttentionTransferLoss(), student, teacher).item() == pytest.approx(expected / 3, rel=1e-5)


def test_scale_makes_no_difference() -> None:
    student, teacher = maps(2, 3, 4, 4), maps(2, 3, 4, 4, seed=1)
    value = call(AttentionTransferLoss(), student, teacher)
    torch.testing.assert_close(call(AttentionTransferLoss(), student * 1000, teacher / 1000), value)
    torch.testing.assert_close(call(AttentionTransferLoss(), student, student * 3), torch.tensor(0.0))


def test_maps_of_other_sizes() -> None:
    """The teacher's squares are averaged, not its values: +1 beside −1 is active."""
    student = torch.ones(1, 1, 2, 2)
    teacher = torch.tensor([[1.0, -1.0]]).repeat(4, 2)[None, None]
    torch.testing.assert_close(call(AttentionTransferLoss(), student, teacher), torch.tensor(0.0))
    uneven = torch.tensor([[[[math.sqrt(2), math.sqrt(2), 1.0]]]])  # squares 2 and, of the last two, 3/2
    torch.testing.assert_close(activation_attention(uneven, (1, 2)), torch.tensor([[0.8, 0.6]]))
    student, large = maps(1, 3, 4, 6), maps(1, 3, 4, 6).repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(call(AttentionTransferLoss(), student, large), torch.tensor(0.0))
    torch.testing.assert_close(call(AttentionTransferLoss(), large, student), torch.tensor(0.0))


def test_gradient() -> None:
    student, teacher = (maps(2, 3, 4, 4, seed=s).double().requires_grad_() for s in range(2))
    call(AttentionTransferLoss(), student, teacher).backward()
    assert student.grad is not None
    assert (student.grad != 0).all()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda x: call(AttentionTransferLoss(), x, teacher), (student,))


@pytest.mark.parametrize('which', ['student', 'teacher', 'both'])
def test_zero_maps(which: str) -> None:
    """Of an image of which nothing is left by ReLU there is no norm: its attention is 0, its gradient too, no NaN."""
    student = maps(2, 3, 4, 4) * (0 if which != 'teacher' else 1)
    teacher = maps(2, 3, 4, 4, seed=1) * (0 if which != 'student' else 1)
    student.requires_grad_()
    value = call(AttentionTransferLoss(), student, teacher)
    assert value.item() == pytest.approx(0 if which == 'both' else 0.5)
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_equal_maps_have_no_gradient() -> None:
    """The norm itself, not squared, would have none that is a number."""
    student = maps(2, 3, 4, 4).requires_grad_()
    call(AttentionTransferLoss(), student, student.detach().clone()).backward()
    assert student.grad is not None
    assert (student.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('scale', [1e-3, 1e3])
def test_half_precision(dtype: torch.dtype, scale: float) -> None:
    """Squares are beyond float16, or below it."""
    half = (maps(2, 3, 4, 4) * scale).to(dtype)
    teacher = maps(2, 3, 4, 4, seed=1)
    student = half.clone().requires_grad_()
    value = call(AttentionTransferLoss(), student, teacher)
    assert torch.equal(value, call(AttentionTransferLoss(), half.float(), teacher))
    torch.testing.assert_close(activation_attention(student).norm(dim=1), torch.ones(2))
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r'AttentionTransferLoss: maps of 2 images \(student\) and of 1'):
        call(AttentionTransferLoss(), maps(2, 3, 4, 4), maps(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r"AttentionTransferLoss: the teacher gives no map of layer 'a'.*--layers a"):
        call(AttentionTransferLoss(teacher_layer='a'), maps(1, 3, 4, 4), maps(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r'gives shape \(2, 3\), not maps'):
        call(AttentionTransferLoss(), maps(2, 3), maps(2, 3, 4, 4))
