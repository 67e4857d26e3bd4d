"""Objectives together with regions: boxes follow the image into its views and its sizes, and a teacher sees them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from objective_parts import FLIP, HINT, HINTON, SCALE, WSDDN, batch, build, calls, consistency, distillation
from tiny_spatial_context import NEEDS_MMDET, model_config
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import DistillLoss, DistillOutputs, multi_label_bce
from mlic_mm.registry import MODELS
from mlic_mm.safe_load.checkpoint import CheckpointError
from mlic_mm.safe_load.checkpoint_weights import StoredWeights


def weak(objectives: dict | None = None, **parts: Any) -> Any:
    """A weakly supervised detector with logits that differ from region to region."""
    model = build(objectives, neck=None, head=WSDDN, **parts)
    generator = torch.Generator().manual_seed(0)
    for layer in (model.head.fc_cls, model.head.fc_det):
        nn.init.normal_(layer.weight, std=2, generator=generator)
    return model


class TestLoadedProposals:
    """Those of ``LoadProposals``, for a head that looks at them."""

    def test_consistent_labels_by_hand(self) -> None:
        """The image and its mirror image with mirrored boxes."""
        model = weak(dict(labels=consistency(FLIP, SCALE, level='label')))
        images, samples = batch(proposals=True)
        before = [sample.proposals.clone() for sample in samples]
        losses = model.loss(images, samples)

        def logits(images: Tensor, move: Any) -> Tensor:
            moved = [DataSample() for _ in samples]
            for sample, made in zip(samples, moved, strict=True):
                x1, y1, x2, y2 = sample.proposals.T
                made.set_field(torch.stack(move(x1, y1, x2, y2), 1), 'proposals')
                made.set_field(sample.proposal_scores, 'proposal_scores')
            return model.head(model.backbone(images), moved)

        first = logits(images, lambda *box: box)
        flipped = logits(images.flip(-1), lambda x1, y1, x2, y2: (64 - x2, y1, 64 - x1, y2))
        small = F.interpolate(images, (32, 32), mode='bilinear', antialias=True)
        scaled = logits(small, lambda *box: [side / 2 for side in box])
        expected = F.mse_loss(first, flipped) + F.mse_loss(first, scaled)
        torch.testing.assert_close(losses['loss_labels'], expected)
        assert expected > 0.01
        targets = torch.stack([sample.gt_score for sample in samples])
        labels = torch.stack([multi_label_bce(each, targets) for each in (first, flipped, scaled)]).mean()
        torch.testing.assert_close(losses['loss'], labels, rtol=1e-4, atol=1e-4)
        assert list(losses) == ['loss', 'loss_labels']
        for sample, boxes in zip(samples, before, strict=True):
            assert torch.equal(sample.proposals, boxes)

    def test_a_student_that_sees_smaller_images(self) -> None:
        """The teacher gets the boxes as they were loaded, in pixels of the larger image."""
        teacher = weak(seed=7)
        model = weak(dict(teacher=distillation(teacher, student_size=32)))
        images, samples = batch(proposals=True)
        shown: list[tuple] = []
        look = teacher.head.region_logits
        teacher.head.region_logits = lambda feats, seen: shown.append((feats, seen)) or look(feats, seen)
        losses = model.loss(images, samples)
        ((feats, seen),) = shown
        assert feats[-1].shape[-2:] == (2, 2)
        assert all(torch.equal(a.proposals, b.proposals) for a, b in zip(seen, samples, strict=True))
        small = [sample.clone() for sample in samples]
        for sample in small:
            sample.set_field(sample.proposals / 2, 'proposals')
        resized = F.interpolate(images, (32, 32), mode='bilinear', antialias=True)
        torch.testing.assert_close(losses['loss'], weak().loss(resized, small)['loss'])

    def test_tests_look_at_them_as_before(self) -> None:
        model, other = weak(dict(labels=consistency(FLIP, level='label'))), weak(type='ImageClassifier')
        images, samples = batch(proposals=True)
        seen = calls(model.backbone)
        found, expected = (each.predict(images, samples) for each in (model, other))
        assert seen == [(2, 3, 64, 64)]
        for one, reference in zip(found, expected, strict=True):
            assert torch.equal(one.pred_score, reference.pred_score)
        torch.testing.assert_close(model(images, samples), other.head(other.backbone(images), samples))


def objects(side: int = 64) -> tuple[Tensor, list[DataSample]]:
    """A batch with labels and objects."""
    images, samples = batch(side=side)
    for i, sample in enumerate(samples):
        boxes = torch.tensor([[4.0, 8, 36, 40], [20, 30, 60, 62]])[: 2 - i] * (side / 64)
        sample.set_field(InstanceData(bboxes=boxes, labels=torch.tensor([0, 1])[: 2 - i]), 'gt_instances')
        sample.set_metainfo(dict(ori_shape=(side, side)))
    return images, samples


def proposer(head: dict | None = None, **objectives: dict) -> Any:
    """The tiny network with a region proposal network, by default with the head of spatial context."""
    config = ConfigDict(model_config(3))
    if head is not None:
        config.head = head
    config.objectives.update(objectives)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(config)
    model.init_weights()
    nn.init.normal_(model.proposer.rpn_head.rpn_cls.weight, std=0.3)  # objectness that differs
    return model.eval()


def deep_lift() -> dict:
    graph = LabelGraphData.from_targets([[1, 1, 0], [0, 1, 1]], ['a', 'b', 'c'], threshold=0.5)
    labels = dict(graph=graph, embeddings=torch.eye(3), hidden_channels=(4,))
    return dict(type='mlic_mm.DeepLIFTHead', num_classes=3, in_channels=16, label_graph=labels)


def spy(model: Any) -> list[list[DataSample]]:
    """Return a list that gets the samples with proposals of each call of the region proposal network."""
    given: list[list[DataSample]] = []
    propose = model.proposer.propose

    def call(feats: Any, samples: Any, learn: bool = False) -> Any:
        found = propose(feats, samples, learn)
        given.append(found[0])
        return found

    model.proposer.propose = call
    return given


@NEEDS_MMDET
class TestProposalsOfTheModel:
    """Those of ``RegionProposals``."""

    def test_views_have_objects_of_their_own(self) -> None:
        model = proposer(labels=consistency(FLIP, SCALE, level='label'))
        given, rpn = spy(model), calls(model.proposer.rpn_head)
        losses = model.loss(*objects())
        names = ['rpn_cls', 'rpn_bbox', 'bbox', 'patch', 'object', 'context', 'labels']
        assert list(losses) == [f'loss_{name}' for name in names]
        assert [len(samples) for samples in given] == [4, 2]
        assert len(rpn) == 2
        shown = [sample.gt_instances.bboxes.tolist() for samples in given for sample in samples]
        assert shown[0] == [[4, 8, 36, 40], [20, 30, 60, 62]]
        assert shown[2] == [[28, 8, 60, 40], [4, 30, 44, 62]]  # 64 − x
        assert shown[4] == [[2, 4, 18, 20], [10, 15, 30, 31]]
        sizes = [sample.metainfo['batch_input_shape'] for samples in given for sample in samples]
        assert sizes == [(64, 64)] * 4 + [(32, 32)] * 2
        assert given[1][0].proposals.amax() <= 32

    def test_losses_of_a_head_are_means_over_all_views(self) -> None:
        model = proposer(labels=consistency(FLIP, SCALE, level='label'))
        model.head.loss = lambda feats, samples: dict(loss_rows=torch.tensor(float(len(samples))))
        assert model.loss(*objects())['loss_rows'] == pytest.approx(4 * 2 / 3 + 2 / 3)

    def test_consistent_labels_by_hand(self) -> None:
        model = proposer(labels=consistency(FLIP, level='label'))
        images, samples = objects()
        given = spy(model)
        loss = model.loss(images, samples)['loss_labels']
        feats = [model.extract_feat(each) for each in (images, images.flip(-1))]
        first, flipped = (model.head(each, given[0][k : k + 2]) for each, k in zip(feats, (0, 2), strict=True))
        torch.testing.assert_close(loss, F.mse_loss(first, flipped))

    def test_features_of_a_head_that_looks_at_regions(self) -> None:
        model = proposer(maps=consistency(FLIP, level='feature'))
        images, samples = objects()
        loss = model.loss(images, samples)['loss_maps']
        first, flipped = (model.backbone(each)[-1] for each in (images, images.flip(-1)))
        torch.testing.assert_close(loss, F.mse_loss(first.flip(-1), flipped))

    def test_a_head_that_ignores_proposals(self) -> None:
        """They are learnt and taught then, but not made in tests."""
        model = proposer(deep_lift(), maps=consistency(FLIP))
        rpn = calls(model.proposer.rpn_head)
        losses = model.loss(*objects())
        assert list(losses) == ['loss_rpn_cls', 'loss_rpn_bbox', 'loss', 'loss_maps']
        assert len(rpn) == 1
        sum(losses.values()).backward()
        assert model.proposer.rpn_head.rpn_conv.weight.grad.abs().sum() > 0
        model(objects()[0])
        model.predict(*objects())
        assert len(rpn) == 1
        assert not model.proposes

    def test_which_checkpoints_tests_take(self) -> None:
        """The region proposal network must be in them if the head looks at its proposals."""
        for head, needed in ((None, True), (deep_lift(), False)):
            model = proposer(head, teacher=distillation(losses=dict(soft=HINTON)))
            weights = {k: v for k, v in model.state_dict().items() if not k.startswith('objectives.')}
            stored = StoredWeights.of(dict(state_dict=weights), 'plain.pth')
            if needed:
                with pytest.raises(CheckpointError, match=r'first is objectives\.rpn\.rpn_head\.rpn_conv\.weight'):
                    stored.load_into(model)
            else:
                assert stored.load_into(model) == []

    @pytest.mark.parametrize('size', [None, 32])
    @pytest.mark.parametrize('head', [None, 'deep-lift'])
    def test_a_teacher_judges_the_regions_of_its_student(self, head: str | None, size: int | None) -> None:
        """In pixels of the image that the teacher sees."""
        teacher = weak(seed=7)
        losses = dict(soft=HINTON, roi=dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=2))
        losses['roi'] |= dict(student_channels=64, teacher_channels=32)
        objective = distillation(teacher, losses, student_size=size)
        model = proposer(deep_lift() if head else None, teacher=objective, maps=consistency(FLIP, level='feature'))
        proposed, shown = spy(model), []
        look = teacher.head.region_logits
        teacher.head.region_logits = lambda feats, seen: shown.append(seen) or look(feats, seen)
        images, samples = objects()
        found = model.loss(images, samples)
        assert found['loss_teacher_soft'] > 0
        assert found['loss_teacher_roi'] > 0
        assert len(proposed[0]) == 4
        ((first, second),) = shown
        for seen, own in zip((first, second), proposed[0], strict=False):
            torch.testing.assert_close(seen.proposals, own.proposals * (64 / (size or 64)))
            torch.testing.assert_close(seen.proposal_scores, own.proposal_scores)
        assert first.proposals.amax() > 32
        assert all('proposals' not in sample for sample in samples)  # loaded samples stay as they are

    def test_stage_1_proposes_regions_to_the_teacher_and_does_not_learn_them(self) -> None:
        roi = dict(type='mlic_mm.RoIFeatureDistillLoss', roi_size=2, student_channels=64, teacher_channels=32)
        model = proposer(teacher=distillation(weak(seed=7), dict(roi=roi), stage=1))
        losses = model.loss(*objects())
        assert list(losses) == ['loss_teacher_roi']
        losses['loss_teacher_roi'].backward()
        learns = {name.split('.')[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert learns == {'backbone', 'objectives'}
        assert all(parameter.grad is None for parameter in model.proposer.parameters())

    def test_a_cached_teacher_keeps_its_own_regions(self) -> None:
        """Its outputs belong to the proposals that were loaded with them."""
        shown: list[DistillOutputs] = []

        class Look(DistillLoss):
            level = 'prediction'

            def forward(self, student: DistillOutputs, teacher: DistillOutputs) -> Tensor:
                shown.append(teacher)
                return (student.logits - teacher.logits).square().mean()

        model = proposer(teacher=dict(type='mlic_mm.Distillation', losses=dict(look=Look())))
        images, samples = objects()
        for sample, regions in zip(samples, batch(proposals=True)[1], strict=True):
            sample.set_field(regions.proposals, 'proposals')
            sample.set_field(regions.proposal_scores, 'proposal_scores')
            sample.set_field(torch.zeros(3), 'teacher_logits')
        proposed = spy(model)
        assert model.loss(images, samples)['loss_teacher_look'] > 0
        for i, sample in enumerate(samples):
            assert torch.equal(shown[0].boxes[i], sample.proposals / 64)
            assert torch.equal(shown[0].box_scores[i], sample.proposal_scores)
            assert proposed[0][i].proposals.shape != sample.proposals.shape

    def test_samples_of_mmdet(self) -> None:
        from mmdet.structures import DetDataSample
        from mmdet.structures.bbox import HorizontalBoxes

        images, samples = objects()
        theirs = []
        for sample in samples:
            made = DetDataSample(metainfo=sample.metainfo)
            instances = sample.gt_instances
            made.gt_instances = InstanceData(bboxes=HorizontalBoxes(instances.bboxes), labels=instances.labels)
            theirs.append(made)
        found = []
        for given in (samples, theirs):
            model = proposer(
                labels=consistency(FLIP, SCALE, level='label'), hint=distillation(losses=dict(hint=hint()))
            )
            torch.manual_seed(5)  # of the samplers
            found.append(model.loss(images, given))
        assert found[0].keys() == found[1].keys()
        for name, value in found[0].items():
            torch.testing.assert_close(found[1][name], value)

    def test_mixed_precision(self) -> None:
        model = proposer(labels=consistency(FLIP, level='label'), hint=distillation(losses=dict(hint=hint()))).train()
        with torch.autocast('cpu', torch.bfloat16):
            losses = model.loss(*objects())
        assert all(torch.isfinite(value) for value in losses.values())
        sum(losses.values()).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def hint() -> dict:
    """Of a student with 8 channels in its first stage to a teacher with 4."""
    return dict(HINT, student_channels=32, teacher_channels=16)
