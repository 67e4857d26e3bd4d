"""Heads that need maps, behind backbones of timm and mmpretrain with tokens, vectors or maps with channels last."""

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.necks import VGGNeck
from mlic_mm.models.objectives import Objective, Step

timm = pytest.importorskip('timm', reason='timm is in the extra optional: pip install -e .[optional]')
IMAGES = torch.rand(2, 3, 32, 32)
TIMM_VIT = dict(model_name='vit_tiny_patch16_224', img_size=32, patch_size=8, embed_dim=16, depth=3, num_heads=2)
TIMM_SWIN = dict(
    model_name='swin_tiny_patch4_window7_224',
    img_size=32,
    window_size=2,
    embed_dim=8,
    depths=(1, 1),
    num_heads=(1, 1),
)
VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
    img_size=32,
    patch_size=8,
)
POOL = dict(type='mmpretrain.GlobalAveragePooling')


class Labels(nn.Module):
    """Embeddings of five labels, 16 wide."""

    def forward(self) -> Tensor:
        return torch.arange(80.0).view(5, 16).cos()


HEADS: dict[str, dict[str, Any]] = dict(
    deep_lift=dict(head=dict(type='mlic_mm.DeepLIFTHead', num_classes=5, in_channels=16, label_graph=Labels())),
    wsddn=dict(head=dict(type='mlic_mm.WSDDNHead', num_classes=5, in_channels=16, stride=8)),
    linear=dict(head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=5, in_channels=16), neck=POOL),
    csra=dict(head=dict(type='mmpretrain.CSRAClsHead', num_classes=5, in_channels=16, num_heads=1, lam=0.1)),
)


def samples() -> list[DataSample]:
    made = [DataSample().set_gt_score(torch.tensor([1.0, 0, 0, 1, -1])) for _ in IMAGES]
    for sample in made:
        sample.set_field(torch.tensor([[0.0, 0, 16, 16], [8, 8, 32, 32]]), 'proposals')
        sample.set_field(torch.ones(2), 'proposal_scores')
    return made


def build(backbone: dict, head: str) -> ImageClassifier:
    torch.manual_seed(0)
    with_maps = head in ('linear', 'csra')  # of mmpretrain's heads, the class that looks at maps
    consistency = dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')])
    kind = dict(type='mlic_mm.MultiLabelClassifier', objectives=dict(consistency=consistency))
    return MODELS.build(
        (kind if with_maps else dict(type='mmpretrain.ImageClassifier'))
        | dict(backbone=dict(dict(type='mmpretrain.TIMMBackbone'), **backbone))
        | HEADS[head]
    )


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    'backbone',
    [
        TIMM_VIT | dict(features_only=True),
        VIT | dict(out_type='featmap'),
        TIMM_SWIN,
        TIMM_SWIN | dict(features_only=True),
    ],
    ids=['timm vit features_only', 'vit featmap', 'timm swin', 'timm swin features_only'],
)
def test_maps_of_both_layouts_are_taken(backbone: dict, head: str) -> None:
    model = build(backbone, head)
    losses = model.loss(IMAGES, samples())
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.head.parameters())


def test_channels_last_score_as_channels_first() -> None:
    model = build(TIMM_SWIN, 'deep_lift').eval()
    (feat,) = model.backbone(IMAGES)
    assert feat.shape == (2, 4, 4, 16)
    torch.testing.assert_close(model.head((feat,)), model.head((feat.permute(0, 3, 1, 2).contiguous(),)))
    neck = VGGNeck(in_channels=16, out_channels=4).eval()
    torch.testing.assert_close(neck((feat,)), neck((feat.permute(0, 3, 1, 2),)))


def test_consistent_features_are_maps_of_channels_first() -> None:
    class Look(Objective):
        needs_maps = True

        def compute_losses(self, step: Step) -> dict[str, torch.Tensor]:
            assert step.image.feature.shape == (2, 16, 4, 4)
            assert step.image.maps.shape == (2, 5, 4, 4)
            return {'': step.image.feature.sum()}

    model = build(TIMM_SWIN, 'linear')
    model.objectives['look'] = Look()
    assert 'loss_look' in model.loss(IMAGES, samples())


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    ('backbone', 'shape'),
    [(TIMM_VIT, r'\((2|4), 17, 16\)'), (VIT | dict(out_type='raw'), r'\((2|4), 17, 16\)'), (VIT, r'\((2|4), 16\)')],
    ids=['timm vit', 'vit raw', 'vit cls_token'],
)
def test_tokens_and_vectors_name_the_option_that_gives_maps(backbone: dict, shape: str, head: str) -> None:
    with pytest.raises(ValueError, match=rf"got {shape}: .*out_type='featmap'.*features_only=True") as caught:
        build(backbone, head).loss(IMAGES, samples())
    assert 'in_channels' not in str(caught.value)


def test_another_width_names_both_readings() -> None:
    with pytest.raises(ValueError, match=r'\(N, 16, H, W\), got \(2, 8, 4, 3\): set in_channels .*8, or 3 if channels'):
        build(VIT, 'deep_lift').head((torch.rand(2, 8, 4, 3),))


def test_class_maps_of_the_report_take_channels_last() -> None:
    from mlic_mm.visualization.inputs import backbone_maps

    model = build(dict(type='mmpretrain.TIMMBackbone', features_only=True, **TIMM_SWIN), 'deep_lift').eval()
    raw = model.extract_feat(IMAGES, stage='backbone')[-1]
    assert raw.shape == (2, 4, 4, 16)
    assert torch.equal(backbone_maps(model, IMAGES)[-1], raw.permute(0, 3, 1, 2))
