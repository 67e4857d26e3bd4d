from importlib.util import find_spec

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mlic_mm.models import MultiLabelClassifier, WSDDNHead
from mlic_mm.visualization import grad_cam
from mlic_mm.visualization.class_maps import layers_of, logits_and_layers
from mlic_mm.visualization.inputs import NoFeatureMapError

CLASSES = ('cat', 'dog', 'bird')


def test_linear_head_over_a_pooled_map_by_hand() -> None:
    # y = w · mean(A): each channel's weight is w / (H·W), so the map is ReLU(w1·A1 + w2·A2) / 4.
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 5.0]]]], requires_grad=True)
    weight = torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    scores = activations.mean(dim=(2, 3)) @ weight.T
    expected = torch.tensor([[[[1.0, 1.0], [3.0, 0.0]], [[2.0, 4.0], [6.0, 8.0]]]]) / 4
    torch.testing.assert_close(grad_cam(scores, activations), expected)


def test_images_of_a_batch_do_not_mix() -> None:
    activations = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))

    def explain(part: torch.Tensor) -> torch.Tensor:
        return grad_cam((part.amax(dim=(2, 3)) ** 2) @ weight, part)

    whole = explain(activations)
    singles = [explain(activations[i : i + 1].detach().requires_grad_()) for i in range(3)]
    assert whole.shape == (3, 2, 5, 6)
    assert not whole.requires_grad
    torch.testing.assert_close(whole, torch.cat(singles))


def test_labels_of_none() -> None:
    activations = torch.ones(2, 3, 4, 4, requires_grad=True)
    assert grad_cam(activations.sum(dim=(2, 3))[:, :0], activations).shape == (2, 0, 4, 4)


@pytest.mark.parametrize(
    ('scores', 'activations', 'message'),
    [
        (torch.ones(2, 3), torch.ones(3, 3, 4, 4), r'got \(2, 3\) and \(3, 3, 4, 4\)'),
        (torch.ones(2), torch.ones(2, 3, 4, 4), r'scores \(N, L\)'),
        (torch.ones(2, 3), torch.ones(2, 3, 4, 4), 'gradients on'),
        (torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, 4, 4, requires_grad=True), 'do not depend'),
    ],
)
def test_refuses_what_it_cannot_explain(scores: torch.Tensor, activations: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grad_cam(scores, activations)


def test_plain_classifier_gives_the_class_activation_map(build_model) -> None:
    model = build_model(CLASSES, deep_lift=False)
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    logits, (last,) = logits_and_layers(model, inputs)
    assert layers_of(model) == ('conv5_x',)
    torch.testing.assert_close(logits, model(inputs))
    cam = torch.einsum('lk,nkhw->nlhw', model.head.fc.weight, last).relu() / (last.size(2) * last.size(3))
    torch.testing.assert_close(grad_cam(logits, last), cam.detach())


def test_deep_lift_maps(build_model) -> None:
    model = build_model(CLASSES)
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    logits, (last, lift, attended) = logits_and_layers(model, inputs)
    assert layers_of(model) == ('conv5_x', 'LIFT map', 'attended map')
    torch.testing.assert_close(logits, model(inputs))
    assert last.shape[:2] == (2, 512)
    # An untrained head's logit is mean + maximum of its own map: the channel weighs 2 / (H·W), all others nothing.
    cams = grad_cam(logits, attended)
    torch.testing.assert_close(cams, attended.detach().relu() * 2 / (attended.size(2) * attended.size(3)))
    # Attention lies between lift and attended maps, so the same logits are explained differently by the two.
    assert not torch.allclose(grad_cam(logits, lift), cams)
    assert grad_cam(logits, last).shape == (2, 3, 2, 2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_attention_lift_and_attended_maps_are_one(build_model) -> None:
    model = build_model(CLASSES, channel_attention='none')
    logits, (_, lift, attended) = logits_and_layers(model, torch.ones(1, 3, 64, 64))
    torch.testing.assert_close(grad_cam(logits, lift), grad_cam(logits, attended))


def test_backbone_without_map(build_model) -> None:
    model = build_model(CLASSES)
    model.backbone = torch.nn.Flatten()
    with pytest.raises(NoFeatureMapError, match=r'Flatten gives \(1, 48\)'):
        logits_and_layers(model, torch.ones(1, 3, 4, 4))


def test_a_head_of_regions_is_asked_with_its_samples(build_model) -> None:
    model = build_model(CLASSES, deep_lift=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model.head = WSDDNHead(num_classes=3, in_channels=512, stride=32)
    model.neck = None
    sample = DataSample(metainfo=dict(img_shape=(64, 64)))
    sample.set_field(torch.tensor([[0.0, 0, 31, 31], [32, 32, 63, 63]]), 'proposals')
    sample.set_field(torch.ones(2), 'proposal_scores')
    logits, (last,) = logits_and_layers(model, torch.randn(1, 3, 64, 64), [sample])
    cam = grad_cam(logits, last)
    assert cam.shape == (1, 3, 2, 2)
    assert cam.any()


@pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
def test_patches_are_proposed_for_the_maps(build_model) -> None:
    """Of the spatial-context-aware network, whose FPN hands the last map down to all others."""
    rpn = dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        proposals = dict(
            type='mlic_mm.RegionProposals',
            rpn_head=dict(
                type='RPNHead',
                in_channels=8,
                anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[16, 32]),
            ),
            train_cfg=dict(rpn=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3))),
            test_cfg=dict(rpn=rpn),
        )
        model = MultiLabelClassifier(
            backbone=dict(type='ResNet', depth=18, out_indices=(2, 3)),
            neck=dict(type='mmdet.FPN', in_channels=[256, 512], out_channels=8, num_outs=2),
            head=dict(
                type='mlic_mm.SpatialContextHead',
                num_classes=3,
                in_channels=8,
                roi_extractor=dict(featmap_strides=[16, 32]),
            ),
            objectives=dict(rpn=proposals),
        ).eval()
    inputs = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    logits, (last,) = logits_and_layers(model, inputs)
    torch.testing.assert_close(logits, model(inputs))
    assert layers_of(model) == ('conv5_x',)
    assert grad_cam(logits, last).shape == (1, 3, 2, 3)
