import pytest
import torch
import torch.nn.functional as F

from mlic_mm.models.view_transforms import FlipView, ScaleView, TranslateView, inconsistency


def test_by_hand() -> None:
    """Maps (0, 2) and, of the mirror image, (5, 1): moved (2, 0), differences −3 and −1, without the means 1 and 2."""
    maps, seen = torch.tensor([0.0, 2]), torch.tensor([5.0, 1])
    (found,) = inconsistency(FlipView(), maps.view(1, 1, 1, 2), seen.view(1, 1, 1, 2), (32, 64))
    # Means of squares: (9 + 1) / 2; of (1, −1) − (2, −2); variances 1 and 4.
    assert found.tolist() == [5, 1, 2.5]


@pytest.mark.parametrize('offset', [0.0, 3.0])
def test_an_offset_is_no_other_pattern(offset: float) -> None:
    maps = torch.randn(2, 3, 7, 7)
    found = inconsistency(FlipView(), maps, maps.flip(-1) + offset, (224, 224))
    torch.testing.assert_close(found[:, 0], torch.full((2,), offset**2))
    assert (found[:, 1] < 1e-10).all()
    torch.testing.assert_close(found[:, 2], maps.var((2, 3), correction=0).mean(1))


def test_only_what_both_show_counts() -> None:
    maps = torch.randn(2, 3, 7, 7)
    moved = F.pad(maps, (1, -1))
    seen = moved.clone()
    seen[..., 0] = torch.randn(2, 3, 7)  # entered the picture
    found = inconsistency(TranslateView(32), maps, seen, (224, 224))
    assert (found[:, :2] < 1e-10).all()
    torch.testing.assert_close(found[:, 2], maps[..., :-1].var((2, 3), correction=0).mean(1))


def test_unrelated_maps_have_twice_the_variance() -> None:
    maps, seen = torch.randn(1, 2000, 8, 8), torch.randn(1, 2000, 6, 6) - 5
    _, pattern, spread = inconsistency(ScaleView(192), maps, seen, (256, 256))[0].tolist()
    assert pattern / spread == pytest.approx(2, rel=0.02)
