"""fc6 and fc7 of VGG on maps of any size."""

import pytest
import torch
from mmengine.registry import MODELS
from torchvision.models import vgg16

import mlic_mm  # noqa: F401


@pytest.fixture(scope='module')
def reference():
    torch.manual_seed(0)
    return vgg16(weights=None).classifier.eval()


@pytest.fixture(scope='module')
def neck(reference, tmp_path_factory):
    file = tmp_path_factory.mktemp('weights') / 'vgg.pth'
    torch.save({'state_dict': {f'backbone.classifier.{k}': v for k, v in reference.state_dict().items()}}, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file), prefix='backbone.classifier.')
    neck = MODELS.build(dict(type='mlic_mm.VGGNeck', init_cfg=init_cfg))
    neck.init_weights()
    return neck.eval()


def test_published_weights_give_torchvisions_features(neck, reference):
    maps = torch.rand(2, 512, 7, 7)
    with torch.no_grad():
        assert torch.equal(neck((maps,))[0], reference[:6](maps.flatten(1)))


@pytest.mark.parametrize('size', [1, 4, 12, 16])
def test_any_map_is_pooled(neck, size):
    with torch.no_grad():
        (features,) = neck((torch.zeros(1), torch.full((1, 512, size, size), 0.5)))
        assert torch.allclose(features, neck((torch.full((1, 512, 7, 7), 0.5),))[0], atol=1e-6)
    assert features.shape == (1, 4096)


def test_dropout_is_off_in_testing(neck):
    maps = torch.rand(1, 512, 7, 7)
    assert torch.equal(neck((maps,))[0], neck((maps,))[0])
    neck.train()
    assert not torch.equal(neck((maps,))[0], neck((maps,))[0])
    neck.eval()


def test_in_a_classifier_for_any_input_size():
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmpretrain.VGG', depth=11),
            neck=dict(type='mlic_mm.VGGNeck', out_channels=16),
            head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=5, in_channels=16),
        )
    ).eval()
    with torch.no_grad():
        assert [model(torch.rand(1, 3, size, size)).shape for size in (64, 96, 225)] == [(1, 5)] * 3
