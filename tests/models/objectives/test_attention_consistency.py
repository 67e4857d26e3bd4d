from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models import ViewTransform, multi_label_bce
from mlic_mm.registry import MODELS, TASK_UTILS

FLIP = dict(type='mlic_mm.FlipView')
SCALE = dict(type='mlic_mm.ScaleView', size=64)
BOTH = dict(type='mlic_mm.ComposeView', views=[FLIP, SCALE])


def build(views: list | None = None, head: dict | None = None, **options: Any) -> nn.Module:
    """A small net with maps of 3 × 3 for 96 pixels; without ``views`` mmpretrain's own classifier."""
    torch.manual_seed(0)
    objective = dict(type='mlic_mm.AttentionConsistency', views=views, **options)
    method = {} if views is None else dict(type='mlic_mm.MultiLabelClassifier', objectives=dict(consistency=objective))
    linear = dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32, init_cfg=None)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
                neck=dict(type='GlobalAveragePooling') if head is None else None,
                head=head or {**linear, 'loss': dict(type='mlic_mm.MultiLabelBCELoss')},
            )
            | method
        )
    model.init_weights()
    for module in model.modules():  # statistics that are no identity
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def samples() -> list[DataSample]:
    return [DataSample().set_gt_score(torch.tensor(row).float()) for row in ([1, 0, 0, 1], [0, 1, -1, 0], [1, 1, 0, 0])]


def cam(model: nn.Module, images: Tensor) -> Tensor:
    """Eq. 1, written out."""
    return torch.einsum('ck,nkhw->nchw', model.head.fc.weight, model.backbone(images)[-1])


class TestAtTest:
    def test_is_the_plain_classifier(self, images: Tensor) -> None:
        plain, ours = build(), build([FLIP, SCALE, BOTH])
        assert list(ours.state_dict()) == list(plain.state_dict())
        ours.load_state_dict(plain.state_dict())
        assert torch.equal(ours(images), plain(images))
        assert [s.pred_score.tolist() for s in ours(images, mode='predict')] == [
            s.pred_score.tolist() for s in plain(images, mode='predict')
        ]
        plain.load_state_dict(ours.state_dict())

    def test_looks_at_each_image_once(self, images: Tensor) -> None:
        model = build([FLIP, SCALE, BOTH])
        seen = []
        model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
        model(images, mode='predict')
        model(images)
        assert seen == [images.shape] * 2


class TestLoss:
    def test_views_of_one_size_share_a_forward(self, images: Tensor, samples: list[DataSample]) -> None:
        model = build([FLIP, SCALE, BOTH])
        seen = []
        model.backbone.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
        model(images, samples, mode='loss')
        assert seen == [(6, 3, 96, 96), (6, 3, 64, 64)]

    def test_by_the_equations(self, images: Tensor, samples: list[DataSample]) -> None:
        model = build([FLIP, SCALE, BOTH], loss=dict(type='mlic_mm.AttentionConsistencyLoss', loss_weight=0.5))
        views = [images, images.flip(-1)]
        views += [F.interpolate(view, size=(64, 64), mode='bilinear', antialias=True) for view in views]
        targets = torch.stack([sample.gt_score for sample in samples])
        classes = torch.stack([multi_label_bce(model(view), targets) for view in views]).mean()
        first, flipped, small, both = (cam(model, view) for view in views)  # 3 × 3, 3 × 3, 2 × 2, 2 × 2

        def enlarged(maps: Tensor, times: int) -> Tensor:
            return maps.repeat_interleave(times, 2).repeat_interleave(times, 3)

        attention = (
            F.mse_loss(first.flip(-1), flipped)
            + F.mse_loss(enlarged(first, 2), enlarged(small, 3))
            + F.mse_loss(enlarged(first.flip(-1), 2), enlarged(both, 3))
        )
        losses = model(images, samples, mode='loss')
        assert list(losses) == ['loss', 'loss_consistency']
        torch.testing.assert_close(losses['loss'], classes)
        torch.testing.assert_close(losses['loss_consistency'], 0.5 * attention)

    def test_levels(self, images: Tensor, samples: list[DataSample]) -> None:
        def loss(level: str) -> tuple[nn.Module, Tensor]:
            model = build([FLIP], loss=dict(type='mlic_mm.AttentionConsistencyLoss', level=level))
            return model, model(images, samples, mode='loss')['loss_consistency']

        model, feature = loss('feature')
        here, there = model.backbone(images)[-1], model.backbone(images.flip(-1))[-1]
        torch.testing.assert_close(feature, F.mse_loss(here.flip(-1), there))
        model, label = loss('label')
        torch.testing.assert_close(label, F.mse_loss(model(images), model(images.flip(-1))))

    def test_without_consistency_the_views_are_augmentation(self, images: Tensor, samples: list[DataSample]) -> None:
        model = build([FLIP], loss=False)
        losses = model(images, samples, mode='loss')
        assert list(losses) == ['loss']
        both = build()(torch.cat([images, images.flip(-1)]), samples * 2, mode='loss')['loss']
        torch.testing.assert_close(losses['loss'], both)

    def test_both_branches_have_gradients(self, images: Tensor, samples: list[DataSample]) -> None:
        model = build([FLIP], loss=dict(type='mlic_mm.AttentionConsistencyLoss'))
        model(images, samples, mode='loss')['loss_consistency'].backward()
        assert model.backbone.conv1.weight.grad.abs().sum() > 0
        assert model.head.fc.weight.grad.abs().sum() > 0
        assert model.head.fc.bias.grad is None  # Eq. 1 has none

    def test_a_symmetric_network_is_consistent(self, images: Tensor, samples: list[DataSample]) -> None:
        model = build([FLIP])
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = (module.weight + module.weight.flip(-1)) / 2
                # With an odd number of pixels the strides start from both sides alike.
        odd = images[..., :65, :65]
        assert model(odd, samples, mode='loss')['loss_consistency'] < 1e-12
        assert build([FLIP])(odd, samples, mode='loss')['loss_consistency'] > 1e-4

    def test_either_kind_of_labels(self, images: Tensor) -> None:
        model = build([FLIP])
        vectors = [DataSample().set_gt_score(torch.tensor([1.0, 0, 0, 1]))] * 3
        lists = [DataSample().set_gt_label(torch.tensor([0, 3]))] * 3
        torch.testing.assert_close(model(images, lists, mode='loss'), model(images, vectors, mode='loss'))


class Vectors(nn.Module):
    """A label graph without edges."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(4, 32))

    def forward(self) -> Tensor:
        return self.vectors


@pytest.mark.parametrize(
    'head',
    [
        dict(type='CSRAClsHead', num_classes=4, in_channels=32, num_heads=2, lam=0.1),
        dict(
            type='mlic_mm.DeepLIFTHead',
            num_classes=4,
            in_channels=32,
            residual='avg',
            channel_attention='none',
        ),
    ],
    ids=['CSRA', 'Deep-LIFT'],
)
def test_heads_with_maps_of_their_own(head: dict, images: Tensor, samples: list[DataSample]) -> None:
    if head['type'] == 'mlic_mm.DeepLIFTHead':
        head = {**head, 'label_graph': Vectors()}
    model = build([FLIP, SCALE], head=head).train()
    losses = model(images, samples, mode='loss')
    sum(losses.values()).backward()
    assert losses['loss_consistency'] > 0
    assert all(parameter.grad is not None for parameter in model.parameters())
    if head['type'] == 'mlic_mm.DeepLIFTHead':
        assert model.head.norm.num_batches_tracked == 2  # once a size, not once for maps and once for logits


def test_a_transform_of_ones_own(images: Tensor, samples: list[DataSample]) -> None:
    @TASK_UTILS.register_module(name='Negative', force=True)
    class Negative(ViewTransform):
        """Colours inverted: maps stay where they are."""

        name = 'negative'

        def image(self, images: Tensor) -> Tensor:
            return -images

        def move(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
            return maps

    model = build([dict(type='mlic_mm.Negative')])
    loss = model(images, samples, mode='loss')['loss_consistency']
    torch.testing.assert_close(loss, F.mse_loss(cam(model, images), cam(model, -images)))


class TestMeasuring:
    def test_by_the_equation(self, images: Tensor) -> None:
        model = build([FLIP, SCALE], measure=True)
        predicted = model(images, mode='predict')
        first, flipped = cam(model, images), cam(model, images.flip(-1))
        distance = (first.flip(-1) - flipped).square().mean((1, 2, 3))
        spread = (first.var((2, 3), correction=0).mean(1) + flipped.var((2, 3), correction=0).mean(1)) / 2
        first, flipped = (maps - maps.mean((2, 3), keepdim=True) for maps in (first, flipped))
        pattern = (first.flip(-1) - flipped).square().mean((1, 2, 3))
        for i, sample in enumerate(predicted):
            assert list(sample.attention_inconsistency) == ['flip', 'scale_64']
            assert sample.attention_inconsistency['flip'] == pytest.approx(
                [distance[i].item(), pattern[i].item(), spread[i].item()]
            )
        plain = build([FLIP, SCALE])(images, mode='predict')
        for a, b in zip(predicted, plain, strict=True):
            torch.testing.assert_close(a.pred_score, b.pred_score)

    @pytest.mark.parametrize('level', ['feature', 'label'])
    def test_whatever_the_loss_compares(self, images: Tensor, level: str) -> None:
        """Tests measure maps of the labels, also of a model that has learnt at another level, or with views alone."""
        loss = dict(type='mlic_mm.AttentionConsistencyLoss', level=level)
        expected = build([FLIP], measure=True)(images, mode='predict')
        for options in (dict(loss=loss), dict(loss=False)):
            found = build([FLIP], measure=True, **options)(images, mode='predict')
            assert [s.attention_inconsistency for s in found] == [s.attention_inconsistency for s in expected]
