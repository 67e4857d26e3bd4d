"""Backbone, FPN, proposals and labels of patches in one model."""

import copy
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from tiny_spatial_context import model_config
from torch import Tensor

from mlic_mm.models import MultiLabelClassifier, RegionProposals, Teacher
from mlic_mm.models.layers import image_logits, select_regions
from mlic_mm.models.objectives import region_proposals
from mlic_mm.models.objectives.region_proposals import describe
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS

HAS_MMDET = find_spec('mmdet') is not None and find_spec('mmcv._ext') is not None
needs_mmdet = pytest.mark.skipif(not HAS_MMDET, reason="no mmdet with mmcv's compiled ops: make test installs them")
WIDTH = 8
ANCHORS = dict(type='AnchorGenerator', scales=[2], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])
RPN = dict(
    type='RPNHead',
    in_channels=WIDTH,
    feat_channels=WIDTH,
    anchor_generator=ANCHORS,
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
)
TRAIN_CFG = dict(
    rpn=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
        sampler=dict(type='RandomSampler', num=64, pos_fraction=0.5, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
    ),
    rpn_proposal=dict(nms_pre=100, max_per_img=40, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
)
TEST_CFG = dict(rpn=dict(nms_pre=100, max_per_img=30, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0))
RCNN_TRAIN = dict(sampler=dict(type='RandomSampler', num=32, pos_fraction=0.25, add_gt_as_proposals=True))
RCNN_TEST = dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20)
NECK = dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=WIDTH, num_outs=5)


def backbone(scope: str) -> dict:
    return dict(type=f'{scope}.ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(0, 1, 2, 3))


def classifier(plain: bool = False) -> MultiLabelClassifier:
    """A tiny one; ``plain`` gives plain dicts in place of a config's."""
    torch.manual_seed(0)
    head = dict(type='mlic_mm.SpatialContextHead', num_classes=5, in_channels=WIDTH, fc_channels=16)
    proposals = dict(type='mlic_mm.RegionProposals', rpn_head=RPN, train_cfg=TRAIN_CFG, test_cfg=TEST_CFG)
    config = dict(
        type='mlic_mm.MultiLabelClassifier',
        data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
        backbone=backbone('mmpretrain'),
        neck=NECK,
        head=head | dict(train_cfg=RCNN_TRAIN, test_cfg=RCNN_TEST),
        objectives=dict(rpn=proposals),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built: Any = MODELS.build(copy.deepcopy(config) if plain else ConfigDict(copy.deepcopy(config)))
    built.init_weights()
    return built


def batch(num: int = 2) -> tuple[Tensor, list[DataSample]]:
    generator = torch.Generator().manual_seed(1)
    samples = []
    for i in range(num):
        made = DataSample(metainfo=dict(img_shape=(96, 128), ori_shape=(192, 256), scale_factor=(0.5, 0.5)))
        boxes = torch.tensor([[10.0, 10, 60, 70], [50, 30, 120, 90]])[: 2 - i]
        made.set_field(InstanceData(bboxes=boxes, labels=torch.tensor([1, 3])[: 2 - i]), 'gt_instances')
        samples.append(made.set_gt_score(torch.tensor([0.0, 1, 0, 1 - i, 0])))
    return torch.randn(num, 3, 96, 128, generator=generator), samples


@needs_mmdet
class TestAgainstMMDet:
    """mmdet's own two-stage detector with the same weights."""

    def detector(self, weights: dict[str, Tensor]) -> Any:
        from mmdet.registry import MODELS as MMDET

        rcnn = ConfigDict(rcnn_train_cfg())
        config = dict(
            type='FasterRCNN',
            data_preprocessor=dict(type='DetDataPreprocessor'),
            backbone=backbone('mmdet'),
            neck=NECK,
            rpn_head=RPN,
            roi_head=dict(
                type='StandardRoIHead',
                bbox_roi_extractor=dict(
                    type='SingleRoIExtractor',
                    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
                    out_channels=WIDTH,
                    featmap_strides=[4, 8, 16, 32],
                ),
                bbox_head=dict(
                    type='Shared2FCBBoxHead',
                    in_channels=WIDTH,
                    fc_out_channels=16,
                    roi_feat_size=7,
                    num_classes=1,
                    reg_class_agnostic=True,
                    loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
                    loss_cls=dict(type='CrossEntropyLoss'),
                ),
            ),
            train_cfg=TRAIN_CFG | dict(rcnn=rcnn),
            test_cfg=TEST_CFG | dict(rcnn=RCNN_TEST),
        )
        with DefaultScope.overwrite_default_scope('mmdet'):
            built: Any = MMDET.build(ConfigDict(copy.deepcopy(config)))
        names = {
            'head.trunks.object.fc6': 'roi_head.bbox_head.shared_fcs.0',
            'head.trunks.object.fc7': 'roi_head.bbox_head.shared_fcs.1',
            'head.box_head': 'roi_head.bbox_head',
            'objectives.rpn.rpn_head': 'rpn_head',
        }
        state = {}
        for name, value in weights.items():
            for ours, theirs in names.items():
                name = name.replace(ours, theirs)
            state[name] = value
        lacking, more = built.load_state_dict(state, strict=False)
        assert not lacking
        assert all('context' in name or 'fc_labels' in name for name in more)
        return built

    def test_losses_and_proposals(self) -> None:
        ours = classifier().eval()
        theirs = self.detector(ours.state_dict()).eval()
        inputs, samples = batch()
        torch.manual_seed(3)  # of the samplers
        found = ours.loss(inputs, samples)
        detections = [DataSample(metainfo=s.metainfo) for s in describe(inputs, samples)]
        for detection, s in zip(detections, samples, strict=True):
            detection.set_field(
                InstanceData(bboxes=s.gt_instances.bboxes, labels=torch.zeros_like(s.gt_instances.labels)),
                'gt_instances',
            )
        torch.manual_seed(3)
        expected = theirs.loss(inputs, detections)
        for name in ('loss_rpn_cls', 'loss_rpn_bbox'):
            torch.testing.assert_close(found[name], sum(expected[name]))  # mmdet has one for each level
        torch.testing.assert_close(found['loss_bbox'], expected['loss_bbox'])
        torch.testing.assert_close(found['loss_patch'], expected['loss_cls'])
        with torch.no_grad():
            proposed = ours.propose(ours.extract_feat(inputs), inputs, batch()[1])
            reference = theirs.rpn_head.predict(theirs.extract_feat(inputs), detections)
        for one, other in zip(proposed, reference, strict=True):
            torch.testing.assert_close(one.proposals, other.bboxes)
            torch.testing.assert_close(one.proposal_scores, other.scores)

    def test_one_region_proposal_network_and_one_set_of_proposals(self) -> None:
        """Both branches share them, and the maps: backbone, neck and network run once an image."""
        built = classifier().eval()
        calls: list[str] = []
        for name in ('backbone', 'neck', 'objectives.rpn.rpn_head'):
            built.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name.split('.')[-1]))
        inputs, samples = batch()
        with torch.no_grad():
            built.predict(inputs, samples)
        built.loss(inputs, samples)
        assert calls == ['backbone', 'neck', 'rpn_head'] * 2


def rcnn_train_cfg() -> dict:
    from mlic_mm.models.heads.spatial_context_head import TRAIN_CFG as RCNN

    return RCNN | RCNN_TRAIN


@needs_mmdet
class TestModes:
    def test_tensor_and_predict_agree(self) -> None:
        built = classifier().eval()
        inputs, samples = batch()
        with torch.no_grad():
            logits = built(inputs)
            predicted = built(inputs, samples, mode='predict')
            bare = built(inputs, mode='predict')
        assert logits.shape == (2, 5)
        torch.testing.assert_close(torch.stack([s.pred_score for s in predicted]), logits.sigmoid())
        for known, unknown in zip(predicted, bare, strict=True):
            torch.testing.assert_close(known.pred_instances.bboxes, 2 * unknown.pred_instances.bboxes)
            assert len(known.pred_instances) <= 20
            assert known.proposals.shape == (30, 4)

    @pytest.mark.parametrize('plain', [False, True])
    def test_a_step_trains_every_part(self, plain: bool) -> None:
        built = classifier(plain).train()
        losses, _ = built.parse_losses(built.loss(*batch()))
        losses.backward()
        assert not [name for name, p in built.named_parameters() if p.grad is None]
        parts = {name for name, p in built.named_parameters() if p.grad.abs().sum() > 0}
        assert {name for name, _ in built.named_parameters() if not name.startswith('backbone.')} <= parts

    def test_mixed_precision(self) -> None:
        built = classifier().train()
        with torch.autocast('cpu', torch.bfloat16):
            losses = built.loss(*batch())
            total, _ = built.parse_losses(losses)
        total.backward()
        assert torch.isfinite(total)
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            predicted = built.eval().predict(*batch())
        assert predicted[0].pred_score.dtype == predicted[0].pred_instances.bboxes.dtype == torch.float32

    def test_nothing_proposed_is_the_whole_image(self) -> None:
        built = classifier().eval()
        built.proposer.rpn_head.test_cfg['min_bbox_size'] = 10**6
        built.proposer.proposal_cfg['min_bbox_size'] = 10**6
        inputs, samples = batch()
        predicted = built.predict(inputs, samples)
        assert [s.proposals.tolist() for s in predicted] == [[[0, 0, 128, 96]]] * 2
        losses, _ = built.parse_losses(built.loss(inputs, batch()[1]))
        assert torch.isfinite(losses)

    def test_images_without_boxes(self) -> None:
        built = classifier().train()
        inputs, samples = batch()
        for s, flat in zip(samples, (False, True), strict=True):
            boxes = torch.tensor([[5.0, 5, 5, 40]]) if flat else torch.zeros(0, 4)
            s.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
        losses, _ = built.parse_losses(built.loss(inputs, samples))
        losses.backward()
        assert torch.isfinite(losses)
        assert all(torch.isfinite(p.grad).all() for p in built.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(train_cfg=None), TypeError, r'train_cfg=None must be a dictionary: train_cfg=dict\(rpn=dict\(…\)\)'),
        (dict(test_cfg=None), TypeError, 'test_cfg=None must be a dictionary'),
        (dict(test_cfg={}), ValueError, r'test_cfg=dict\(\) must have the key rpn, as in mmdet'),
        (dict(train_cfg=dict(rpn_proposal={})), ValueError, r'train_cfg=dict\(rpn_proposal=…\) must have the key rpn'),
        (
            dict(train_cfg=dict(TRAIN_CFG, rpnn={})),
            ValueError,
            r"train_cfg=dict\(rpnn=…\) must have no keys but rpn and rpn_proposal; did you mean 'rpn'\?",
        ),
        (
            dict(test_cfg=dict(TEST_CFG, rpn_proposal={})),
            ValueError,
            r'test_cfg=dict\(rpn_proposal=…\) must have no keys but rpn; ',
        ),
    ],
)
def test_refusals(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RegionProposals(**dict(rpn_head=RPN, train_cfg=TRAIN_CFG, test_cfg=TEST_CFG) | options)


@needs_mmdet
def test_copied_keys_of_the_head_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(region_proposals, 'print_log', lambda text, **_: seen.append(text))
    RegionProposals(copy.deepcopy(RPN), dict(TRAIN_CFG, rcnn=RCNN_TRAIN), dict(TEST_CFG, rcnn=RCNN_TEST))
    assert seen == [
        f'RegionProposals: {option}.rcnn is not used, because it belongs to {option} of the head'
        for option in ('train_cfg', 'test_cfg')
    ]


@pytest.mark.skipif(HAS_MMDET, reason='mmdet is here')
def test_without_mmdet_the_message_has_the_command() -> None:
    with pytest.raises(ImportError, match=r"pip install -e '\.\[detection\]'"):
        classifier()
    with pytest.raises(ImportError, match='RegionProposals needs mmdet'):
        register_mmdet('RegionProposals')
    with pytest.raises(ImportError, match='SpatialContextHead needs mmdet'):
        register_mmdet('SpatialContextHead')


@pytest.fixture
def raw() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 96, 128), generator=torch.Generator().manual_seed(0)).float()


@needs_mmdet
class TestAsATeacher:
    def test_proposes_its_own_regions(self, raw: torch.Tensor) -> None:
        """As fractions, after NMS; what a student's samples propose is neither used nor changed."""
        built = classifier().eval()
        others = [DataSample() for _ in raw]
        for sample in others:
            sample.set_field(torch.tensor([[3.0, 3, 9, 9]]), 'proposals')
            sample.set_field(torch.ones(1), 'proposal_scores')
        outputs = Teacher(model=built, num_regions=7)(raw, others)
        inputs = built.data_preprocessor(dict(inputs=raw), False)['inputs']
        torch.testing.assert_close(outputs.logits, built(inputs))
        with torch.no_grad():
            proposed = built.propose(built.extract_feat(inputs), inputs)
        for i, sample in enumerate(proposed):
            best = select_regions(sample.proposals, sample.proposal_scores, 0.4, 7)
            pixels = outputs.boxes[i] * torch.tensor([128.0, 96, 128, 96])
            torch.testing.assert_close(pixels, sample.proposals[best], rtol=0, atol=1e-4)
            torch.testing.assert_close(outputs.box_scores[i], sample.proposal_scores[best])
            assert others[i].proposals.tolist() == [[3, 3, 9, 9]]
        assert outputs.cls_logits is None

    def test_regions_stay_in_images_that_were_padded(self, raw: torch.Tensor) -> None:
        samples = [DataSample(metainfo=dict(img_shape=shape)) for shape in ((96, 128), (96, 64))]
        boxes = Teacher(model=classifier().eval())(raw, samples).boxes
        assert boxes[0].amax() == 1
        assert boxes[1][:, 2].amax() == 0.5

    def test_a_weakly_supervised_head_judges_them(self, raw: torch.Tensor) -> None:
        head = dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=16, stride=32, roi_size=2)
        cfg = model_config(3)
        cfg.head = head
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            built = MODELS.build(cfg).eval()
        outputs = Teacher(model=built, num_regions=7)(raw, [DataSample() for _ in raw])
        assert outputs.cls_logits.shape == outputs.det_logits.shape
        assert [boxes.shape for boxes in outputs.boxes] == [(7, 4)] * 2
        torch.testing.assert_close(outputs.logits, image_logits(outputs.cls_logits, outputs.det_logits))
