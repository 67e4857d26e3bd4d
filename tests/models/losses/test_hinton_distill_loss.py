import math

import pytest
import torch
from torch import Tensor

from mlic_mm.models.losses import DistillOutputs, HintonDistillLoss


def branches(scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of a student of two images and four labels, and of the two branches of a teacher, of five regions."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 4, generator=generator, dtype=torch.float64) * scale
    cls, det = torch.randn(2, 2, 5, 4, generator=generator, dtype=torch.float64) * scale
    return student, cls, det


def cross_entropy(student: Tensor, soft: Tensor, temperature: float) -> float:
    """Number by number."""
    total = 0.0
    for m, p in zip(student.flatten().tolist(), soft.flatten().tolist(), strict=True):
        own = 1 / (1 + math.exp(-m / temperature))
        total -= p * math.log(own) + (1 - p) * math.log(1 - own)
    return total * temperature**2 / len(student)


@pytest.mark.parametrize(('hot', 'own'), [(1, 1), (1, 5), (2, 5), (4, 2)])
def test_against_the_definition(hot: float, own: float) -> None:
    """Two branches are softened as in Eq. 6 with one temperature; other teachers as students are."""
    student, cls, det = branches()
    loss = HintonDistillLoss(hot, own, loss_weight=0.5)
    soft = ((cls / hot).softmax(2) * (det / hot).softmax(1)).sum(1)
    value = loss(DistillOutputs(student), DistillOutputs(student, {}, cls, det))
    assert value.item() == pytest.approx(cross_entropy(student, soft, own) / 2)
    other = cls[:, 0]
    value = loss(DistillOutputs(student), DistillOutputs(other))
    assert value.item() == pytest.approx(cross_entropy(student, (other / hot).sigmoid(), own) / 2)


def test_by_hand() -> None:
    """One label, teacher 3/4 and student 1/2: ln 2, whatever the teacher says."""
    student, teacher = DistillOutputs(torch.zeros(1, 1)), DistillOutputs(torch.tensor([[math.log(3)]]))
    assert HintonDistillLoss()(student, teacher).item() == pytest.approx(math.log(2))
    assert HintonDistillLoss(student_temperature=5)(student, teacher).item() == pytest.approx(25 * math.log(2))


@pytest.mark.parametrize('temperature', [1.0, 5.0])
def test_equal_predictions_are_the_best(temperature: float) -> None:
    logits = branches()[0].requires_grad_()
    loss = HintonDistillLoss(temperature, temperature)
    value = loss(DistillOutputs(logits), DistillOutputs(logits.detach().clone()))
    value.backward()
    torch.testing.assert_close(logits.grad, torch.zeros(2, 4, dtype=torch.float64))
    assert value < loss(DistillOutputs(logits + 0.1), DistillOutputs(logits.detach()))
    assert value < loss(DistillOutputs(logits - 0.1), DistillOutputs(logits.detach()))


def test_gradients_keep_their_size() -> None:
    """In hot limits the gradient is (m^S − m^T)/4 an image, whatever the temperature (Hinton, Eq. 4, for sigmoids)."""
    student, cls, _ = branches()
    teacher = cls[:, 0]
    for temperature in (50.0, 500.0, 5000.0):
        logits = student.clone().requires_grad_()
        HintonDistillLoss(temperature, temperature)(DistillOutputs(logits), DistillOutputs(teacher)).backward()
        torch.testing.assert_close(logits.grad, (student - teacher) / 4 / 2, rtol=0.01, atol=1e-4)


def test_gradient_does_not_reach_the_teacher() -> None:
    student, cls, det = (each.requires_grad_() for each in branches())
    HintonDistillLoss(2, 2)(DistillOutputs(student), DistillOutputs(None, {}, cls, det)).backward()
    assert student.grad is not None
    assert cls.grad is det.grad is None
    assert torch.autograd.gradcheck(
        lambda m: HintonDistillLoss(2, 3)(DistillOutputs(m), DistillOutputs(None, {}, cls, det)), (student,)
    )


def test_fewer_regions() -> None:
    student, cls, det = branches()
    loss = HintonDistillLoss(2)
    alone = loss(DistillOutputs(student), DistillOutputs(None, {}, cls[:, :3], det[:, :3]))
    det[:, 3:] = -torch.inf
    torch.testing.assert_close(loss(DistillOutputs(student), DistillOutputs(None, {}, cls, det)), alone)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Computed in single, for confident mistakes times t² are beyond float16."""
    student, cls, det = (each.to(dtype) for each in branches(5000))
    loss = HintonDistillLoss(1, 20)
    value = loss(DistillOutputs(student.requires_grad_()), DistillOutputs(None, {}, cls, det))
    assert value.dtype == torch.float32
    assert value > 70000
    assert torch.equal(value, loss(DistillOutputs(student.float()), DistillOutputs(None, {}, cls.float(), det.float())))
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('logits', [torch.zeros(2, 5), torch.zeros(2, 1), torch.zeros(1, 4)])
def test_other_labels(logits: Tensor) -> None:
    _, cls, det = branches()
    for teacher in (DistillOutputs(None, {}, cls, det), DistillOutputs(cls[:, 0])):
        with pytest.raises(ValueError, match=r'student has logits of .* teacher predictions of shape \(2, 4\)'):
            HintonDistillLoss()(DistillOutputs(logits), teacher)


def test_no_predictions() -> None:
    with pytest.raises(ValueError, match='neither image logits nor logits of regions'):
        HintonDistillLoss()(DistillOutputs(torch.zeros(1, 2)), DistillOutputs())


@pytest.mark.parametrize('option', ['teacher_temperature', 'student_temperature'])
@pytest.mark.parametrize('value', [0, -1])
def test_bad_temperature(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f'{option}={value} must be a number above 0'):
        HintonDistillLoss(**{option: value})
