"""Tokens of real transformers are maps: each token in its place, for heads that need maps, and in exported models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.layers import feature_map
from mlic_mm.models.necks import TokensToMap

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=16)
SMALL = dict(arch=ARCH, img_size=32, patch_size=8)
VIT: dict[str, Any] = dict(type='mmpretrain.VisionTransformer', **SMALL)
DINOV2: dict[str, Any] = dict(
    type='mmpretrain.VisionTransformer', arch='dinov2-small', img_size=28, patch_size=14, layer_scale_init_value=1e-5
)
# The transformers of mmpretrain that have out_type='featmap', with the tokens before their patches.
TRANSFORMERS = [
    (VIT, 1),
    (VIT | dict(out_indices=[0, 1]), 1),
    (VIT | dict(with_cls_token=False), 0),
    (DINOV2, 1),
    (dict(type='mmpretrain.DistilledVisionTransformer', **SMALL), 2),
    (dict(type='mmpretrain.BEiTViT', **SMALL), 1),
    (dict(type='mmpretrain.ViTEVA02', **SMALL), 1),
    (dict(type='mmpretrain.RevVisionTransformer', **SMALL), 0),
    (dict(type='mmpretrain.XCiT', img_size=32, patch_size=16, embed_dims=16, depth=2, num_heads=2), 1),
]
TIMM: dict[str, Any] = dict(
    type='mmpretrain.TIMMBackbone', img_size=28, patch_size=7, embed_dim=16, depth=2, num_heads=2, dynamic_img_size=True
)
TIMM_TRANSFORMERS = [
    (TIMM | dict(model_name='vit_tiny_patch16_224'), 1),
    (TIMM | dict(model_name='vit_small_patch14_dinov2'), 1),
    (TIMM | dict(model_name='vit_small_patch14_reg4_dinov2'), 5),
    (TIMM | dict(model_name='vit_base_patch16_siglip_224'), 0),
]
REGISTERS = TIMM_TRANSFORMERS[2]
POOL = dict(type='mmpretrain.GlobalAveragePooling')


class Labels(nn.Module):
    """Embeddings of five labels, 16 wide."""

    def forward(self) -> Tensor:
        return torch.arange(80.0).view(5, 16).cos()


HEADS: dict[str, Callable[[], dict[str, Any]]] = dict(
    deep_lift=lambda: dict(type='mlic_mm.DeepLIFTHead', num_classes=5, in_channels=16, label_graph=Labels()),
    csra=lambda: dict(type='mmpretrain.CSRAClsHead', num_classes=5, in_channels=16, num_heads=1, lam=0.1),
    linear=lambda: dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=5, in_channels=16),
)


def name_of(value: Any) -> str:
    return value.get('model_name', value['type']) if isinstance(value, dict) else str(value)


def build_backbone(config: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    if config['type'] == 'mmpretrain.TIMMBackbone':
        pytest.importorskip('timm', reason='timm is in the extra optional: pip install -e .[optional]')
    backbone = MODELS.build(config)
    backbone.eval()  # of mmpretrain's backbones, it returns None
    return backbone


def classifier(config: dict[str, Any], prefix: int, head: str) -> nn.Module:
    neck: Any = dict(type='mlic_mm.TokensToMap', num_prefix_tokens=prefix)
    model = dict(
        type='mmpretrain.ImageClassifier',
        backbone=build_backbone(config),
        neck=[neck, POOL] if head == 'linear' else neck,
        head=HEADS[head](),
    )
    return MODELS.build(model).eval()


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (2, 3), (3, 2), (7, 9), (14, 14), (32, 22), (1, 50), (97, 3)])
@pytest.mark.parametrize('prefix', [0, 1, 5])
def test_a_token_stands_at_the_place_of_its_patch(height: int, width: int, prefix: int) -> None:
    tokens = torch.randn(2, prefix + height * width, 4)
    (found,) = TokensToMap(prefix, aspect_ratio=height / width)((tokens,))
    assert found.shape == (2, 4, height, width)
    for y, x in {(0, 0), (0, width - 1), (height - 1, 0), (height // 2, width // 3)}:
        assert torch.equal(found[:, :, y, x], tokens[:, prefix + y * width + x])


def test_all_stages_become_maps_and_maps_stay() -> None:
    tokens, feat = torch.randn(2, 5, 4), torch.randn(2, 6, 4, 8)
    first, second, third = TokensToMap()((tokens, feat, torch.randn(2, 10, 8)))
    assert first.shape == (2, 4, 2, 2)
    assert second is feat
    assert third.shape == (2, 8, 3, 3)


def test_maps_with_the_channels_last_are_permuted_once() -> None:
    first, last = torch.randn(2, 6, 5, 4), torch.randn(2, 3, 3, 8)
    neck = TokensToMap(in_channels=[4, 8])
    maps = neck((first, last))
    assert torch.equal(maps[0], first.permute(0, 3, 1, 2))
    assert torch.equal(maps[1], last.permute(0, 3, 1, 2))
    assert all(a is b for a, b in zip(neck(maps), maps, strict=True))
    assert torch.equal(TokensToMap(in_channels=8)((first, last))[1], maps[1])
    with pytest.raises(ValueError, match=r'in_channels=\[4, 8\] must have a number for each of the 1 stages'):
        neck((last,))


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(num_prefix_tokens=-1), ValueError, 'num_prefix_tokens=-1 must be a whole number at least 0'),
        (dict(num_prefix_tokens=1.5), TypeError, 'num_prefix_tokens=1.5 must be a whole number'),
        (dict(aspect_ratio=0), ValueError, 'aspect_ratio=0 must be a number above 0'),
    ],
)
def test_options_out_of_range(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MODELS.build(dict(type='mlic_mm.TokensToMap', **options))


@pytest.mark.parametrize(
    ('options', 'tokens', 'message'),
    [
        (
            {},
            37 * 37 + 5,
            r'1374 tokens without num_prefix_tokens=1 .* aspect_ratio=1: .*\(with 5 .* 37 × 37\)',
        ),
        ({}, 196, r'196 tokens .*\(with 0 the grid is 14 × 14\), or aspect_ratio to height / width'),
        ({}, 7 * 11 + 1, r'78 tokens .* class and register tokens, or aspect_ratio'),
        (dict(aspect_ratio=2 / 3), 6, r'6 tokens .*aspect_ratio=0\.666667: .*\(with 0 the grid is 2 × 3\)'),
        (dict(num_prefix_tokens=5), 5, r'5 tokens without num_prefix_tokens=5'),
        # 14 × 15 and 15 × 14 fit a ratio of 1 equally well.
        (dict(num_prefix_tokens=0), 14 * 15, r'210 tokens'),
        (dict(aspect_ratio=400), 60, r'60 tokens without num_prefix_tokens=1 .* register tokens, or'),
    ],
)
def test_tokens_that_fill_no_grid(options: dict, tokens: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf'TokensToMap: {message}'):
        TokensToMap(**options)((torch.zeros(1, tokens, 4),))


def test_heads_that_get_tokens_name_the_neck() -> None:
    with pytest.raises(ValueError, match=r'CSRAClsHead needs .* neck=mlic_mm\.TokensToMap turns all tokens'):
        feature_map((torch.zeros(2, 5, 16),), 16, 'CSRAClsHead')


@pytest.mark.parametrize(('stage', 'found'), [(torch.zeros(2, 16), r'\(2, 16\)'), ((torch.zeros(2, 16),) * 2, 'tuple')])
def test_vectors_are_no_tokens(stage: Any, found: str) -> None:
    """Such as out_type='cls_token': one vector, or of a distilled DeiT two."""
    with pytest.raises(ValueError, match=rf"tokens \(N, L, D\) or maps, got {found}: .*out_type='raw'"):
        TokensToMap()((stage,))


@pytest.mark.parametrize(('config', 'prefix'), TRANSFORMERS, ids=name_of)
def test_maps_are_those_that_mmpretrain_makes(config: dict, prefix: int) -> None:
    raw, featmap = (build_backbone(config | dict(out_type=out_type)) for out_type in ('raw', 'featmap'))
    featmap.load_state_dict(raw.state_dict())
    images = torch.rand(2, 3, config['img_size'], config['img_size'])
    with torch.no_grad():
        tokens, expected = raw(images), featmap(images)
    assert tokens[-1].dim() == 3
    found = TokensToMap(prefix)(tokens)
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(('config', 'prefix'), TIMM_TRANSFORMERS, ids=name_of)
@pytest.mark.parametrize('size', [(28, 28), (42, 42), (21, 35)])
def test_maps_are_those_that_timm_makes(config: dict, prefix: int, size: tuple[int, int]) -> None:
    """In other sizes too, whose positions are interpolated."""
    backbone: Any = build_backbone(config)
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        (found,) = TokensToMap(prefix, aspect_ratio=size[0] / size[1])(backbone(images))
        (expected,) = backbone.timm_model.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
    assert found.shape == (2, 16, size[0] // 7, size[1] // 7)
    torch.testing.assert_close(found, expected)


def test_swin_gives_maps_already() -> None:
    images = torch.rand(2, 3, 32, 32)
    arch = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 1])
    swin = build_backbone(
        dict(type='mmpretrain.SwinTransformer', arch=arch, img_size=32, window_size=2, out_indices=(1,))
    )
    (feat,) = swin(images)
    assert TokensToMap()((feat,))[0] is feat
    options = dict(img_size=32, window_size=2, embed_dim=8, depths=(1, 1), num_heads=(1, 1), features_only=True)
    swin = build_backbone(
        dict(type='mmpretrain.TIMMBackbone', model_name='swin_tiny_patch4_window7_224', out_indices=(0, 1), **options)
    )
    maps = TokensToMap(in_channels=[8, 16])(swin(images))
    assert [tuple(each.shape) for each in maps] == [(2, 8, 8, 8), (2, 16, 4, 4)]


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    ('config', 'prefix'), [(VIT | dict(out_type='raw'), 1), REGISTERS], ids=['mmpretrain vit', 'timm dinov2 reg4']
)
def test_heads_train_on_such_maps(config: dict, prefix: int, head: str) -> None:
    """Also in another size than that of the positions, as a ScaleView gives it."""
    model: Any = classifier(config, prefix, head).train()
    samples = [DataSample().set_gt_score(torch.tensor([1.0, 0, 0, 1, 0])) for _ in range(2)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for images in (torch.rand(2, 3, side, side) for side in (config['img_size'], 2 * config['img_size'])):
        before = [parameter.detach().clone() for parameter in model.head.parameters()]
        optimizer.zero_grad()
        sum(value for name, value in model.loss(images, samples).items() if 'loss' in name).backward()
        assert all(parameter.grad is not None for parameter in model.head.parameters())
        assert any(parameter.grad.abs().sum() > 0 for parameter in model.backbone.parameters())
        optimizer.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.head.parameters(), strict=True))


@pytest.mark.parametrize('level', ['attention', 'feature', 'label'])
@pytest.mark.parametrize('head', HEADS)
def test_consistency_of_tokens_under_views_of_other_sizes(head: str, level: str) -> None:
    neck: Any = dict(type='mlic_mm.TokensToMap')
    loss = dict(type='mlic_mm.AttentionConsistencyLoss', level=level)
    views = [dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.ScaleView', size=48)]
    model: Any = MODELS.build(
        dict(
            type='mlic_mm.MultiLabelClassifier',
            backbone=VIT | dict(out_type='raw'),
            neck=[neck, POOL] if head == 'linear' else neck,
            head=HEADS[head](),
            objectives=dict(consistency=dict(type='mlic_mm.AttentionConsistency', views=views, loss=loss)),
        )
    )
    samples = [DataSample().set_gt_score(torch.tensor([1.0, 0, 0, 1, 0])) for _ in range(2)]
    losses = model.loss(torch.rand(2, 3, 32, 32), samples)
    assert losses['loss_consistency'] > 0
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.head.parameters())


def test_a_list_of_necks_in_a_config_is_a_chain() -> None:
    neck = Config(dict(neck=[dict(type='mlic_mm.TokensToMap', num_prefix_tokens=0), POOL])).neck
    tokens = torch.rand(2, 9, 4)
    torch.testing.assert_close(MODELS.build(neck)((tokens,))[0], tokens.mean(1))


def exported(model: nn.Module, example: Tensor, folder: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.export(model, (example,), dynamic_shapes=dict(inputs={0: torch.export.Dim('batch')})).module()


def traced(model: nn.Module, example: Tensor, folder: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.trace(model, example)


def onnx(model: nn.Module, example: Tensor, folder: Path, dynamo: bool = False) -> Callable[[Tensor], Tensor]:
    options: dict[str, Any] = (
        dict(verbose=False, dynamic_shapes=dict(inputs={0: torch.export.Dim('batch')}))
        if dynamo
        else dict(input_names=['inputs'], dynamic_axes=dict(inputs={0: 'batch'}))
    )
    torch.onnx.export(model, (example,), folder / 'model.onnx', dynamo=dynamo, **options)
    session = pytest.importorskip('onnxruntime').InferenceSession(folder / 'model.onnx')
    return lambda images: torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])


def onnx_dynamo(model: nn.Module, example: Tensor, folder: Path) -> Callable[[Tensor], Tensor]:
    return onnx(model, example, folder, dynamo=True)


@pytest.mark.integration
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('export', [exported, traced, onnx, onnx_dynamo])
@pytest.mark.parametrize('head', ['csra', 'linear'])
def test_exported_with_any_batch(head: str, export: Callable[..., Callable[[Tensor], Tensor]], tmp_path: Path) -> None:
    model, images = classifier(VIT | dict(out_type='raw'), 1, head), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        run = export(model, torch.rand(2, 3, 32, 32), tmp_path)
        torch.testing.assert_close(run(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.integration
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('backbone', 'head'), [(VIT, 'csra'), (REGISTERS, 'deep_lift'), (REGISTERS, 'csra'), (REGISTERS, 'linear')]
)
def test_compiled_for_several_sizes(backbone: Any, head: str) -> None:
    # By default, drop_path_rate of mmpretrain's layers is a number of NumPy, at which a full graph breaks.
    vit = VIT | dict(out_type='raw', layer_cfgs=dict(drop_path_rate=0.0))
    config, prefix = (vit, 1) if backbone is VIT else backbone
    torch._dynamo.reset()
    model = classifier(config, prefix, head)
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    with torch.no_grad():
        for factor in (1, 2, 3):
            images = torch.rand(2, 3, factor * config['img_size'], factor * config['img_size'])
            torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('head', ['deep_lift', 'csra', 'linear'])
def test_class_maps_of_the_report_lie_on_the_patches(head: str) -> None:
    from mlic_mm.visualization.class_maps import logits_and_layers

    model: Any = classifier(VIT | dict(out_type='raw'), 1, head)
    images = torch.rand(1, 3, 48, 48)
    logits, layers = logits_and_layers(model, images)
    torch.testing.assert_close(logits, model(images))
    assert {tuple(layer.shape[-2:]) for layer in layers} == {(6, 6)}
    assert torch.autograd.grad(logits[0, 0], layers[0])[0].abs().sum() > 0
