"""Eq. 5 to 9 of KD from WSD."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mlic_mm.models.losses import ClassAwareDistillLoss, DistillOutputs
from mlic_mm.models.losses.class_aware_distill_loss import COLDEST, softened_teacher

N, R, C = 2, 5, 4


def outputs(seed: int = 0, scale: float = 2.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of a student, and of the two branches of a teacher."""
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(N, C, generator=generator, dtype=dtype) * scale
    cls, det = torch.randn(2, N, R, C, generator=generator, dtype=dtype) * scale
    return student, cls, det


def built(seed: int | None = None, dtype: torch.dtype = torch.float64, **options: Any) -> ClassAwareDistillLoss:
    """The loss, with random temperatures if there is a seed."""
    loss = ClassAwareDistillLoss(C, **dict(num_proposals=R) | options).to(dtype)
    if seed is not None:
        torch.manual_seed(seed)
        for theta in loss.parameters():
            torch.nn.init.normal_(theta, std=0.5)
    return loss


def literal(student: Tensor, cls: Tensor, det: Tensor, t_cls: Tensor, t_det: Tensor, t: Tensor) -> float:
    """Eq. 5 to 8, number by number."""
    total = 0.0
    for n in range(len(student)):
        for k in range(C):
            teacher = 0.0
            for i in range(R):
                over_labels = sum(math.exp(cls[n, i, j] / t_cls[j]) for j in range(C))
                over_regions = sum(math.exp(det[n, r, k] / t_det[r]) for r in range(R))
                teacher += (
                    math.exp(cls[n, i, k] / t_cls[k]) / over_labels * (math.exp(det[n, i, k] / t_det[i]) / over_regions)
                )
            total += (teacher - 1 / (1 + math.exp(-student[n, k] / t[k]))) ** 2
    return total / (2 * len(student))


def test_by_hand() -> None:
    """One image, two regions, two labels: softmax of (0, ln 3) is (1/4, 3/4), sigmoid of ln 3 is 3/4."""
    three = math.log(3)
    cls = torch.tensor([[[0, three], [0, 0]]])
    det = torch.tensor([[[three, 0], [0, 0]]])
    p = [1 / 4 * 3 / 4 + 1 / 2 * 1 / 4, 3 / 4 / 2 + 1 / 2 / 2]  # 5/16, 5/8
    loss = ClassAwareDistillLoss(2, num_proposals=2)
    teacher = DistillOutputs(cls_logits=cls, det_logits=det)
    value = loss(DistillOutputs(torch.tensor([[three, 0.0]])), teacher)
    assert value.item() == pytest.approx(((p[0] - 3 / 4) ** 2 + (p[1] - 1 / 2) ** 2) / 2)


@pytest.mark.parametrize('seed', range(4))
def test_against_literal_equations(seed: int) -> None:
    student, cls, det = outputs(seed)
    loss = built(seed)
    t = loss.temperatures
    expected = literal(student, cls, det, t['cls'].detach(), t['det'].detach(), t['student'].detach())
    teacher = DistillOutputs(cls_logits=cls, det_logits=det)
    assert loss(DistillOutputs(student), teacher).item() == pytest.approx(expected, rel=1e-12)
    loss.loss_weight = 0.25
    assert loss(DistillOutputs(student), teacher).item() == pytest.approx(expected / 4, rel=1e-12)


class TestGradients:
    """In double precision, with temperatures that all differ."""

    def test_numerically(self) -> None:
        student, cls, det = outputs()
        loss = built(1)
        teacher = DistillOutputs(cls_logits=cls, det_logits=det)
        names = [name for name, _ in loss.named_parameters()]
        thetas = [theta.detach().clone().requires_grad_() for theta in loss.parameters()]

        def value(logits: Tensor, *thetas: Tensor) -> Tensor:
            state = dict(zip(names, thetas, strict=True))
            return torch.func.functional_call(loss, state, (DistillOutputs(logits), teacher))

        assert torch.autograd.gradcheck(value, (student.requires_grad_(), *thetas))

    def test_eq_9(self) -> None:
        """∂L/∂m = Σ ∂L/∂m̂ · 1/t and ∂L/∂t = Σ ∂L/∂m̂ · (−m/t²), with dt/dθ = t − 0.01."""
        student, cls, det = outputs()
        loss = built(1)
        student.requires_grad_()
        loss(DistillOutputs(student), DistillOutputs(cls_logits=cls, det_logits=det)).backward()
        t = {name: value.detach() for name, value in loss.temperatures.items()}

        # Derivatives by the softened logits m̂, by hand.
        softened = [cls / t['cls'], det / t['det'][:, None], student.detach() / t['student']]
        over_labels, over_regions, own = softened[0].softmax(2), softened[1].softmax(1), softened[2].sigmoid()
        error = ((over_labels * over_regions).sum(1) - own) / N  # ∂L/∂p'^T
        by_own = -error * own * (1 - own)
        by_cls_score = error[:, None] * over_regions  # by the softmax over labels
        by_det_score = error[:, None] * over_labels
        by_cls = over_labels * (by_cls_score - (by_cls_score * over_labels).sum(2, keepdim=True))
        by_det = over_regions * (by_det_score - (by_det_score * over_regions).sum(1, keepdim=True))

        torch.testing.assert_close(student.grad, by_own / t['student'])
        expected = {
            'cls': (by_cls * -cls / t['cls'] ** 2).sum((0, 1)),
            'det': (by_det * -det / t['det'][:, None] ** 2).sum((0, 2)),
            'student': (by_own * -student.detach() / t['student'] ** 2).sum(0),
        }
        for name, gradient in expected.items():
            assert (gradient != 0).all()
            torch.testing.assert_close(getattr(loss, f'{name}_theta').grad, gradient * (t[name] - COLDEST))

    def test_never_reaches_the_teacher(self) -> None:
        student, cls, det = (each.requires_grad_() for each in outputs())
        built()(DistillOutputs(student), DistillOutputs(cls_logits=cls, det_logits=det)).backward()
        assert student.grad is not None
        assert cls.grad is det.grad is None
        logits = torch.randn(N, C, requires_grad=True)
        built(num_proposals=None)(DistillOutputs(student), DistillOutputs(logits)).backward()
        assert logits.grad is None


class TestTemperatures:
    def test_are_one_at_first(self) -> None:
        for dtype in (torch.float16, torch.float32, torch.float64):
            temperatures = built(dtype=dtype).temperatures
            assert {name: len(value) for name, value in temperatures.items()} == dict(cls=C, det=R, student=C)
            assert all((value == 1).all() for value in temperatures.values())
        assert set(built(num_proposals=None).temperatures) == {'cls', 'student'}

    def test_are_learnt(self) -> None:
        assert {name: p.requires_grad for name, p in built().named_parameters()} == dict(
            cls_theta=True, det_theta=True, student_theta=True
        )

    @pytest.mark.parametrize('theta', [-1000.0, -30.0, 30.0, 1000.0])
    @pytest.mark.parametrize('scale', [1.0, 1e4])
    def test_driven_to_an_end(self, theta: float, scale: float) -> None:
        """Loss, temperatures and gradients stay finite, and weight decay leads back."""
        student, cls, det = outputs(scale=scale, dtype=torch.float32)
        loss = built(dtype=torch.float32)
        for parameter in loss.parameters():
            torch.nn.init.constant_(parameter, theta)
        student.requires_grad_()
        optimiser = torch.optim.SGD(loss.parameters(), lr=0.5, weight_decay=0.5)
        for step in range(60):
            optimiser.zero_grad()
            value = loss(DistillOutputs(student), DistillOutputs(cls_logits=cls, det_logits=det))
            value.backward()
            assert 0 <= value.item() <= C / 2, step
            assert student.grad is not None
            for grad in (student.grad, *(p.grad for p in loss.parameters())):
                assert grad is not None
                assert grad.isfinite().all(), step
            assert all((t >= COLDEST).all() and t.isfinite().all() for t in loss.temperatures.values())
            optimiser.step()
        assert all((t - 1).abs().max() < 0.2 for t in loss.temperatures.values())

    def test_no_step_passes_zero(self) -> None:
        """A temperature that is learnt itself does with this learning rate, at once; here it is positive after each."""
        student, cls, det = outputs(dtype=torch.float32)
        loss = built(dtype=torch.float32)
        optimiser = torch.optim.SGD(loss.parameters(), lr=1e4)
        for _ in range(20):
            optimiser.zero_grad()
            loss(DistillOutputs(student), DistillOutputs(cls_logits=cls, det_logits=det)).backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())
            optimiser.step()
            assert all((t >= COLDEST).all() and t.isfinite().all() for t in loss.temperatures.values())
        assert any((t < 0.1).any() for t in loss.temperatures.values())

    def test_a_step_in_theta_is_limited(self) -> None:
        """|x σ'(x)| ≤ 0.2239 of x = m/t: however large logits are, the student's temperatures cannot jump."""
        for scale in (0.1, 1, 10, 1e3, 1e6):
            student, cls, det = outputs(scale=scale)
            loss = built(2)
            loss(DistillOutputs(student), DistillOutputs(cls_logits=cls, det_logits=det)).backward()
            assert loss.student_theta.grad is not None
            assert loss.student_theta.grad.abs().max() <= 0.2239

    def test_learning_lowers_the_loss(self) -> None:
        student, cls, det = outputs(dtype=torch.float32)
        loss = built(dtype=torch.float32)
        teacher = DistillOutputs(cls_logits=cls, det_logits=det)
        before = loss(DistillOutputs(student), teacher)
        optimiser = torch.optim.SGD(loss.parameters(), lr=0.1)
        for _ in range(10):
            optimiser.zero_grad()
            loss(DistillOutputs(student), teacher).backward()
            optimiser.step()
        assert loss(DistillOutputs(student), teacher) < before


class TestTeachers:
    def test_fewer_regions(self) -> None:
        """An image with −inf for the last two: as alone with three; gradients are numbers, and 0 where none is."""
        student, cls, det = outputs()
        det[0, 3:] = -torch.inf
        loss = built(3)
        loss(DistillOutputs(student[:1]), DistillOutputs(cls_logits=cls[:1], det_logits=det[:1])).backward()
        assert loss.det_theta is not None
        grad = loss.det_theta.grad
        assert grad is not None
        assert (grad[:3] != 0).all()
        assert (grad[3:] == 0).all()
        t = loss.temperatures
        soft = softened_teacher(DistillOutputs(cls_logits=cls[:1], det_logits=det[:1]), t['cls'], t['det'])
        alone = softened_teacher(DistillOutputs(cls_logits=cls[:1, :3], det_logits=det[:1, :3]), t['cls'], t['det'][:3])
        torch.testing.assert_close(soft, alone)

    def test_image_logits_only(self) -> None:
        """As Eq. 8 has it for students: equal logits and temperatures agree."""
        student, other = outputs()[0], outputs(1)[0]
        loss = built(num_proposals=None)
        assert loss(DistillOutputs(student), DistillOutputs(student)) == 0
        value = loss(DistillOutputs(student), DistillOutputs(other))
        assert value.item() == pytest.approx((student.sigmoid() - other.sigmoid()).square().sum().item() / (2 * N))
        value.backward()
        assert all(p.grad is not None and (p.grad != 0).all() for p in loss.parameters())

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype: torch.dtype) -> None:
        """Of students, of teachers (as caches have them) and of the parameters themselves: computed in single."""
        student, cls, det = (each.to(dtype) for each in outputs())
        det[0, 3:] = -torch.inf
        exact = built(dtype=torch.float32)(
            DistillOutputs(student.float()), DistillOutputs(cls_logits=cls.float(), det_logits=det.float())
        )
        for parameters in (torch.float32, dtype):
            loss = built(dtype=parameters)
            value = loss(DistillOutputs(student.requires_grad_()), DistillOutputs(cls_logits=cls, det_logits=det))
            assert value.dtype == torch.float32
            assert torch.equal(value, exact)
            value.backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())

    @pytest.mark.parametrize(
        ('options', 'teacher', 'message'),
        [
            (dict(num_proposals=R + 1), dict(cls_logits=1, det_logits=1), r'5 regions.*of 6: load as many: LoadProp'),
            (dict(num_classes=C + 1), dict(cls_logits=1, det_logits=1), r'4 labels.*of 5: set num_classes'),
            (dict(num_classes=1), dict(cls_logits=1, det_logits=1), r'4 labels.*of 1: set num_classes'),
            (dict(num_proposals=1), dict(cls_logits=1, det_logits=1), r'5 regions.*of 1: load as many'),
            (dict(num_classes=C + 1, num_proposals=None), dict(logits=1), '4 labels.*of 5'),
            (dict(num_proposals=None), dict(cls_logits=1, det_logits=1), 'set num_proposals=5'),
            (dict(), dict(logits=1), 'num_proposals=5, but the teacher gives no logits of regions: leave num_prop'),
            (dict(num_proposals=None), dict(), 'neither image logits nor logits of regions'),
        ],
    )
    def test_that_do_not_fit(self, options: dict, teacher: dict, message: str) -> None:
        loss = ClassAwareDistillLoss(**dict(num_classes=C, num_proposals=R) | options)
        student, cls, det = outputs()
        given: dict[str, Any] = dict(logits=student, cls_logits=cls, det_logits=det)
        with pytest.raises(ValueError, match=message):
            loss(DistillOutputs(student), DistillOutputs(**{key: given[key] for key in teacher}))

    @pytest.mark.parametrize('shape', [(N, C + 1), (N, 1), (1, C)])
    def test_students_that_do_not_fit(self, shape: tuple[int, int]) -> None:
        """Nothing is broadcast: one label, or one image, is not compared with all."""
        _, cls, det = outputs()
        with pytest.raises(ValueError, match='student has logits of shape'):
            built()(DistillOutputs(torch.zeros(shape)), DistillOutputs(cls_logits=cls, det_logits=det))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_classes=0), 'num_classes=0 must be a whole number at least 1'),
        (dict(num_classes=3, num_proposals=0), 'num_proposals=0 must be a whole number at least 1'),
        (dict(num_classes=3, loss_weight=-1), 'loss_weight=-1 must be a number at least 0'),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassAwareDistillLoss(**options)
