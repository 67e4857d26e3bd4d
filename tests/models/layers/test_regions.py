import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mlic_mm.models.layers import fuse_branches, image_logits, roi_pool, select_regions


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def half_up(value: float) -> int:
    """Round as C does, for numbers that are not negative; Python rounds halves to even numbers."""
    return math.floor(value + 0.5)


def pool_literally(map_: Tensor, box: list[float], size: int) -> Tensor:
    """Maximum of every part of one region of one map ``(D, h, w)``, cell by cell."""
    height, width = map_.shape[1:]
    x1, y1, x2, y2 = (half_up(value) for value in box)
    x1, x2, y1, y2 = min(x1, width - 1), min(x2, width - 1), min(y1, height - 1), min(y2, height - 1)
    tall, wide = (y2 - y1 + 1) / size, (x2 - x1 + 1) / size
    out = map_.new_empty(len(map_), size, size)
    for row in range(size):
        for col in range(size):
            ys = slice(y1 + math.floor(row * tall), y1 + math.ceil((row + 1) * tall))
            xs = slice(x1 + math.floor(col * wide), x1 + math.ceil((col + 1) * wide))
            out[:, row, col] = map_[:, ys, xs].amax((1, 2))
    return out


class TestRoIPool:
    def test_by_hand(self) -> None:
        maps = torch.arange(16.0).view(1, 1, 4, 4)
        whole = torch.tensor([[0.0, 0, 3, 3]])
        assert roi_pool(maps, [whole], 2).tolist() == [[[[5, 7], [13, 15]]]]
        # Corners 0.6 and 2.4 are cells 1 and 2: both belong to the region.
        assert roi_pool(maps, [torch.tensor([[0.6, 0.6, 2.4, 2.4]])], 2).tolist() == [[[[5, 6], [9, 10]]]]

    def test_images_have_their_own_regions(self) -> None:
        maps = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.full((1, 4, 4), 2.0)])
        boxes = [torch.tensor([[0.0, 0, 1, 1]]).repeat(n, 1) for n in (1, 0, 2)]
        assert roi_pool(maps, boxes, 1).flatten().tolist() == [0, 2, 2]

    def test_no_regions_at_all(self) -> None:
        assert roi_pool(torch.ones(2, 3, 4, 4), [torch.zeros(0, 4)] * 2, 7).shape == (0, 3, 7, 7)

    @pytest.mark.parametrize('count', [1, 3])
    def test_as_many_images_as_maps(self, count: int) -> None:
        with pytest.raises(ValueError, match=f'boxes of {count} images for the maps of 2'):
            roi_pool(torch.ones(2, 3, 4, 4), [torch.zeros(1, 4)] * count, 7)

    @given(
        size=st.integers(1, 7),
        height=st.integers(1, 12),
        width=st.integers(1, 12),
        corners=st.lists(st.floats(0, 1), min_size=4, max_size=4),
        seed=st.integers(0, 100),
    )
    @settings(max_examples=150, deadline=None)
    def test_against_a_literal_one(self, size: int, height: int, width: int, corners: list[float], seed: int) -> None:
        """Any box inside the image: on borders, of no area, smaller than a cell."""
        maps = torch.randn(1, 2, height, width, generator=seeded(seed), dtype=torch.float64)
        (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
        box = [x1 * width, y1 * height, x2 * width, y2 * height]
        pooled = roi_pool(maps, [torch.tensor([box], dtype=torch.float64)], size)
        assert torch.equal(pooled[0], pool_literally(maps[0], box, size))

    @pytest.mark.parametrize('box', [[3.6, 3.7, 4, 4], [4, 4, 4, 4], [3.5, 3.5, 3.9, 3.9]])
    def test_region_at_the_very_edge_is_the_last_cell(self, box: list[float]) -> None:
        """torchvision rounds it to cell 4 of 0 to 3, and gives zeros."""
        maps = torch.arange(1.0, 17).view(1, 1, 4, 4)
        assert (roi_pool(maps, [torch.tensor([box])], 3) == 16).all()

    def test_whole_map_is_the_adaptive_pooling(self) -> None:
        """Also of fewer cells than parts, where torchvision leaves parts at the right and lower edge empty."""
        for height, width in ((4, 4), (14, 14), (7, 5), (1, 3)):
            maps = torch.randn(1, 3, height, width, generator=seeded(0)) - 10
            whole = torch.tensor([[0.0, 0, width, height]])
            assert torch.equal(roi_pool(maps, [whole], 7), torch.nn.functional.adaptive_max_pool2d(maps, 7))

    @pytest.mark.parametrize('box', [[1.1, 2.2, 1.3, 2.3], [1, 2, 1, 2]])
    def test_region_smaller_than_a_cell_is_that_cell(self, box: list[float]) -> None:
        maps = torch.arange(16.0).view(1, 1, 4, 4)
        assert (roi_pool(maps, [torch.tensor([box])], 7) == 9).all()

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype: torch.dtype) -> None:
        """Single comes out, and boxes are not rounded: a map of 700 cells in bfloat16 would be off by two."""
        maps = torch.randn(1, 2, 3, 700, generator=seeded(0)).to(dtype)
        box = torch.tensor([[301.0, 0, 307, 2]])
        pooled = roi_pool(maps, [box], 3)
        assert pooled.dtype == torch.float32
        assert torch.equal(pooled, roi_pool(maps.float(), [box], 3))

    def test_gradient(self) -> None:
        maps = torch.randn(2, 2, 5, 6, dtype=torch.float64, generator=seeded(0), requires_grad=True)
        boxes = [torch.tensor([[0.0, 0, 5, 4], [2, 1, 3, 3]]), torch.tensor([[4.6, 4, 6, 5]])]
        assert torch.autograd.gradcheck(lambda x: roi_pool(x, boxes, 3), (maps,))

    def test_gradient_of_overlapping_parts_adds_up(self) -> None:
        maps = torch.tensor([[[[1.0, 5.0, 2.0]]]], requires_grad=True)
        roi_pool(maps, [torch.tensor([[0.0, 0, 2, 0]])], 2).sum().backward()  # cells 0, 1 and cells 1, 2
        assert maps.grad is not None
        assert maps.grad.flatten().tolist() == [0, 4, 0]  # of 2 × 2 parts, the two rows are the same


class TestFuseBranches:
    def test_by_hand(self) -> None:
        """Two regions, two labels; softmax over (0, ln 3) is 1/4 and 3/4."""
        three = math.log(3)
        cls = torch.tensor([[0.0, three], [0, 0]])
        det = torch.tensor([[three, 0.0], [0, 0]])
        expected = torch.tensor([[1 / 4 * 3 / 4, 3 / 4 * 1 / 2], [1 / 2 * 1 / 4, 1 / 2 * 1 / 2]])
        torch.testing.assert_close(fuse_branches(cls, det), expected)

    @given(
        counts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
        num_classes=st.integers(2, 6),
        scale=st.sampled_from([0.0, 1, 30, 1e4, 1e30]),
        seed=st.integers(0, 1000),
    )
    @settings(max_examples=100, deadline=None)
    def test_sums(self, counts: list[int], num_classes: int, scale: float, seed: int) -> None:
        """p lies in [0, 1], s' is not negative, both add up to the same, and padding changes nothing."""
        logits = [torch.randn(2, n, num_classes, generator=seeded(seed + n)) * scale for n in counts]
        cls = torch.nn.utils.rnn.pad_sequence([each[0] for each in logits], batch_first=True)
        det = torch.nn.utils.rnn.pad_sequence([each[1] for each in logits], batch_first=True, padding_value=-torch.inf)
        scores = fuse_branches(cls, det)
        assert scores.isfinite().all()
        assert (scores >= 0).all()
        image, objectness = scores.sum(1), scores.sum(2)
        assert (image <= 1 + 1e-6).all()
        torch.testing.assert_close(image.sum(1), objectness.sum(1))
        # Each label has a probability of at most 1, but of each region all labels together, too.
        assert (objectness.sum(1) <= num_classes + 1e-5).all()
        probability = image_logits(cls, det).sigmoid()
        torch.testing.assert_close(probability, image, rtol=1e-4, atol=1e-6)
        for i, (n, each) in enumerate(zip(counts, logits, strict=True)):
            torch.testing.assert_close(scores[i, :n], fuse_branches(*each))
            assert (scores[i, n:] == 0).all()
            torch.testing.assert_close(image_logits(cls, det)[i], image_logits(*each))

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype: torch.dtype) -> None:
        """500 regions: shares of 1/500 lose 5 % in bfloat16, were they computed in it."""
        cls, det = torch.randn(2, 500, 3, generator=seeded(0)).to(dtype)
        assert torch.equal(fuse_branches(cls, det), fuse_branches(cls.float(), det.float()))
        assert torch.equal(image_logits(cls, det), image_logits(cls.float(), det.float()))

    def test_padding_gives_no_nan_gradient(self) -> None:
        for function in (fuse_branches, image_logits):
            cls = torch.randn(2, 3, 4, generator=seeded(0), requires_grad=True)
            det = torch.randn(2, 3, 4, generator=seeded(1)).index_fill(1, torch.tensor([2]), -torch.inf)
            det.requires_grad_()
            function(cls, det).square().sum().backward()
            for grad in (cls.grad, det.grad):
                assert grad is not None
                assert grad.isfinite().all()
                assert (grad[:, 2] == 0).all()
                assert (grad[:, :2] != 0).any()


class TestImageLogits:
    def test_gradient(self) -> None:
        logits = torch.randn(2, 2, 3, 4, dtype=torch.float64, generator=seeded(0)) * 3
        cls, det = (each.requires_grad_() for each in logits)
        assert torch.autograd.gradcheck(image_logits, (cls, det))

    def test_precise_where_the_sum_rounds(self) -> None:
        """p = 1e-30 and 1 − 1e-30 in single precision; 64-bit logits of 2 labels by hand: their difference."""
        margin = 30 * math.log(10)
        cls, det = torch.tensor([[margin, 0.0]] * 2), torch.zeros(2, 2)
        assert fuse_branches(cls, det).sum(0)[0] == 1
        torch.testing.assert_close(image_logits(cls, det), torch.tensor([margin, -margin]))

    @pytest.mark.parametrize('target', [0.0, 1.0])
    def test_gradient_where_the_sum_rounds(self, target: float) -> None:
        """A label that is wrong by far is pulled as by any logistic loss: with 1, in all, along its own logits."""
        cls = torch.tensor([[200.0, 0, -200]] * 2) * (1 if target == 0 else -1)
        cls.requires_grad_()
        logit = image_logits(cls, torch.zeros(2, 3))[0]
        torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(target)).backward()
        assert cls.grad is not None
        assert cls.grad[:, 0].sum().item() == pytest.approx(1 if target == 0 else -1, rel=1e-5)

    def test_equal_labels(self) -> None:
        """Ties of the greatest label."""
        cls = torch.zeros(1, 2, requires_grad=True)
        image_logits(cls, torch.zeros(1, 2))[0].backward()
        assert cls.grad is not None
        torch.testing.assert_close(cls.grad, torch.tensor([[1.0, -1.0]]))


class TestSelectRegions:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 4.1]])
    scores = torch.tensor([0.2, 0.9, 0.5, 0.1])

    def test_by_hand(self) -> None:
        """Overlaps with box 1: 0.9 of box 0, 4.1/9 of box 3."""
        assert select_regions(self.boxes, self.scores, 0.4, 2).tolist() == [1, 2]
        assert select_regions(self.boxes, self.scores, 0.46, 3).tolist() == [1, 2, 3]
        assert select_regions(self.boxes, self.scores, 0.95, 4).tolist() == [1, 2, 0, 3]

    def test_best_ones_are_recycled(self) -> None:
        assert select_regions(self.boxes, self.scores, 0.4, 5).tolist() == [1, 2, 1, 2, 1]

    def test_none_stay_none(self) -> None:
        assert select_regions(torch.zeros(0, 4), torch.zeros(0), 0.4, 5).tolist() == []

    @pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
    def test_precision(self, dtype: torch.dtype) -> None:
        assert select_regions(self.boxes.to(dtype), self.scores.to(dtype), 0.4, 2).tolist() == [1, 2]
