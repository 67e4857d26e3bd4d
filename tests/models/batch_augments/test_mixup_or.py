"""Mixup-OR: worked by hand, against set operations, and what must hold for any batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmpretrain.registry import BATCH_AUGMENTS

from mlic_mm.models import MixupOR


@pytest.fixture
def swap(monkeypatch):
    """Make the partners known: the batch reversed."""
    monkeypatch.setattr(torch, 'randperm', lambda n: torch.arange(n - 1, -1, -1))


def test_worked_by_hand(swap):
    images = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    mixed, score = MixupOR()(images, labels)
    assert torch.equal(mixed, torch.tensor([[2.0, 4.0], [2.0, 4.0]]))
    assert torch.equal(score, torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))


@pytest.mark.parametrize(
    ('a', 'b', 'expected'),
    [
        (1, 1, 1), (1, 0, 1), (0, 0, 0),  # OR
        (-1, 0, -1), (-1, -1, -1), (-1, 1, 1),  # ignored, unless the partner is positive
        (0.3, 0.7, 0.7), (0.3, 0, 0.3), (-1, 0.4, 0.4),  # soft labels: the larger
    ],
)  # fmt: skip
def test_labels_of_a_pair(swap, a, b, expected):
    _, score = MixupOR()(torch.zeros(2, 1), torch.tensor([[a], [b]], dtype=torch.float32))
    assert score[:, 0].tolist() == pytest.approx([expected, expected])


def test_integer_images_give_exact_half_sums(swap):
    mixed, _ = MixupOR()(torch.tensor([[0, 255, 7]] * 1 + [[1, 255, 0]], dtype=torch.uint8), torch.zeros(2, 1))
    assert mixed.dtype == torch.float32
    assert mixed.tolist() == [[0.5, 255.0, 3.5]] * 2


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_type_and_does_not_overflow(swap, dtype):
    large = torch.finfo(dtype).max
    mixed, score = MixupOR()(torch.full((2, 3), large, dtype=dtype), torch.zeros(2, 1, dtype=dtype))
    assert mixed.dtype == score.dtype == dtype
    assert torch.equal(mixed, torch.full((2, 3), large, dtype=dtype))


def test_integer_labels_become_floating():
    assert MixupOR()(torch.zeros(2, 1), torch.tensor([[1], [0]]))[1].dtype == torch.float32


def test_one_image_meets_itself():
    images, labels = torch.rand(1, 3, 4, 4), torch.tensor([[1.0, -1.0, 0.2]])
    mixed, score = MixupOR()(images, labels)
    assert torch.equal(mixed, images)
    assert torch.equal(score, labels)


def test_arguments_stay_and_the_memory_layout_too():
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    labels = torch.eye(4)
    before = images.clone(), labels.clone()
    mixed, _ = MixupOR()(images, labels)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@given(arrays('int8', st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.integers(-1, 1)), st.integers(0, 99))
def test_any_batch_agrees_with_sets(labels, seed):
    labels = torch.from_numpy(labels)
    images = torch.arange(len(labels), dtype=torch.float64).exp2().view(-1, 1)  # a sum tells its two addends
    torch.manual_seed(seed)
    mixed, score = MixupOR()(images, labels)
    assert mixed.sum() == images.sum()  # each image is used twice, by a half
    for i, value in enumerate(mixed[:, 0]):
        j = int((2 * value - images[i, 0]).log2())
        pair = [
            dict(zip((1, 0, -1), ({c for c, x in enumerate(labels[k]) if x == v} for v in (1, 0, -1)), strict=True))
            for k in (i, j)
        ]
        present = pair[0][1] | pair[1][1]
        ignored = (pair[0][-1] | pair[1][-1]) - present
        expected = [1 if c in present else -1 if c in ignored else 0 for c in range(labels.size(1))]
        assert score[i].tolist() == expected


@pytest.mark.parametrize('labels', [torch.zeros(4), torch.zeros(3, 5), torch.zeros(4, 5, 1)])
def test_labels_of_another_shape(labels):
    with pytest.raises(ValueError, match=r'label vector for each image.*num_classes'):
        MixupOR()(torch.zeros(4, 3), labels)


def test_is_built_by_mmpretrain():
    assert isinstance(BATCH_AUGMENTS.build(dict(type='mlic_mm.MixupOR')), MixupOR)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_same_partners_on_a_gpu():
    images, labels = torch.rand(8, 3, 4, 4), torch.eye(8)
    torch.manual_seed(0)
    on_cpu = MixupOR()(images, labels)
    torch.manual_seed(0)
    on_gpu = MixupOR()(images.cuda(), labels.cuda())
    assert all(torch.equal(a, b.cpu()) for a, b in zip(on_cpu, on_gpu, strict=True))
