"""The four patch processors: Eq. 2 to 6 of the spatial-context-aware network."""

import math
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.heads import SpatialContextHead

pytestmark = pytest.mark.skipif(
    find_spec('mmdet') is None or find_spec('mmcv._ext') is None,
    reason="no mmdet with mmcv's compiled ops: make test installs them",
)
NUM_CLASSES = 3
SIZE = (64, 96)


def head(seed: int = 0, **options: Any) -> SpatialContextHead:
    """A head with random weights that takes every proposal in training."""
    torch.manual_seed(seed)
    assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False)
    sampler = dict(type='RandomSampler', num=1000, pos_fraction=1.0, add_gt_as_proposals=False)
    small = dict(
        num_classes=NUM_CLASSES,
        in_channels=4,
        fc_channels=6,
        roi_extractor=dict(
            roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=2), featmap_strides=[4, 8], finest_scale=16
        ),
        train_cfg=dict(assigner=assigner, sampler=sampler),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = SpatialContextHead(**small | options)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built.eval()


def feats(num: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(num, 4, SIZE[0] // s, SIZE[1] // s, generator=generator) for s in (4, 8))


def sample(proposals: Tensor, objects: Tensor, ignored: Tensor | None = None, **meta: Any) -> DataSample:
    """Of objects ``(G, 5)``: boxes and labels."""
    made = DataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE) | meta)
    made.set_field(proposals, 'proposals')
    made.set_field(torch.ones(len(proposals)), 'proposal_scores')
    ignored = torch.zeros(0, 5) if ignored is None else ignored
    for field, found in (('gt_instances', objects), ('ignored_instances', ignored)):
        made.set_field(InstanceData(bboxes=found[:, :4], labels=found[:, 4].long()), field)
    return made.set_gt_score(torch.tensor([1.0, 0, -1]))


def two_images() -> list[DataSample]:
    first = sample(
        torch.tensor([[0.0, 0, 30, 30], [2, 3, 33, 31], [60, 10, 90, 60], [40, 40, 50, 50], [61, 12, 88, 63]]),
        torch.tensor([[0.0, 0, 32, 30, 2], [60, 10, 90, 62, 0], [1, 2, 31, 32, 1]]),
    )
    second = sample(
        torch.tensor([[10.0, 10, 50, 40], [0, 0, 95, 63]]),
        torch.tensor([[12.0, 9, 50, 42, 1]]),
        torch.tensor([[0.0, 0, 96, 64, 0]]),
    )
    return [first, second]


def iou(a: list[float], b: list[float]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    overlap = max(width, 0) * max(height, 0)
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return overlap / (sum(area) - overlap)


def smooth_l1(x: float) -> float:
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


class TestLosses:
    def test_location_and_patch_as_literal_loops(self) -> None:
        """Eq. 2, 3 and 4 over all patches, from what the layers say."""
        built = head(alpha=3.0)
        samples, maps = two_images(), feats()
        losses = built.loss(maps, samples)
        moved = patch = 0.0
        count = 0
        for number, image in enumerate(samples):
            objects = image.gt_instances.bboxes.tolist()
            vectors = built._vectors(tuple(m[number : number + 1] for m in maps), [image.proposals], [image])['object']
            scores, deltas = built.box_head(vectors)
            for box, score, delta in zip(image.proposals.tolist(), scores.tolist(), deltas.tolist(), strict=True):
                count += 1
                best = max(objects, key=lambda o: iou(box, o))
                present = iou(box, best) >= 0.5
                patch -= log_sigmoid((1 if present else -1) * (score[0] - score[1]))
                if present:
                    size = [box[i + 2] - box[i] for i in (0, 1)]
                    goal = [best[i + 2] - best[i] for i in (0, 1)]
                    away = [(best[i] + goal[i] / 2 - box[i] - size[i] / 2) / size[i] / 0.1 for i in (0, 1)]
                    grow = [math.log(goal[i] / size[i]) / 0.2 for i in (0, 1)]
                    moved += sum(smooth_l1(d - t) for d, t in zip(delta, away + grow, strict=True))
        assert losses['loss_patch'].item() == pytest.approx(3 * patch / count, rel=1e-4)
        assert losses['loss_bbox'].item() == pytest.approx(moved / count, rel=1e-4)

    def test_labels_as_literal_loops(self) -> None:
        """Eq. 5 with σ = 0.5, β and γ; targets worked by hand."""
        built = head(beta=2.0, gamma=5.0)
        samples, maps = two_images(), feats()
        losses = built.loss(maps, samples)
        logits = built._label_logits(built._vectors(maps, [s.proposals for s in samples], samples))
        # Object branch: objects 2 and 1 lie on another and match the first two patches, 0 the third and fifth; the
        # crowd is the last patch and around all of the second image.
        objects = [[0, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 0], [-1, 1, 0], [-1, 0, 0]]
        # Context branch: the expanded patches hold the same, and the whole image its one object.
        context = [[0, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 0], [-1, 1, 0], [-1, 1, 0]]
        order = [0, 1, 2, 4, 3, 5, 6]  # matched patches come first
        for name, weight, target, found in (('object', 2, objects, logits[0]), ('context', 5, context, logits[1])):
            total = 0.0
            for row in order:
                for x, y in zip(found[row].tolist(), target[row], strict=True):
                    total -= {1: log_sigmoid(x), 0: log_sigmoid(-x), -1: 0}[y]
            assert losses[f'loss_{name}'].item() == pytest.approx(0.5 * weight * total / 7, rel=1e-4), name

    def test_labels_of_the_image_in_every_patch(self) -> None:
        """``target='image'``: y* of the image, whose third label is unknown."""
        built = head(target='image', sigma=1.0)
        samples, maps = two_images(), feats()
        losses = built.loss(maps, samples)
        logits = built._label_logits(built._vectors(maps, [s.proposals for s in samples], samples))
        for name, found in zip(('object', 'context'), logits, strict=True):
            total = sum(log_sigmoid(a) + log_sigmoid(-b) for a, b, _ in found.tolist())
            assert losses[f'loss_{name}'].item() == pytest.approx(-total / 7, rel=1e-4)
        bare = two_images()
        for image in bare:
            del image.gt_score
        with pytest.raises(ValueError, match=r"target='image' needs gt_score"):
            built.loss(maps, bare)

    def test_a_weight_of_nothing_leaves_the_others(self) -> None:
        maps = feats()
        full = head().loss(maps, two_images())
        without = head(gamma=0, alpha=0).loss(maps, two_images())
        assert without['loss_context'] == without['loss_patch'] == 0
        assert without['loss_object'] == full['loss_object']
        assert without['loss_bbox'] == full['loss_bbox']

    def test_same_as_mmdets_head_on_the_same_weights(self) -> None:
        """One label, its two layers and our trunk: the losses of mmdet's Faster R-CNN."""
        from mmdet.registry import MODELS

        built = head()
        with DefaultScope.overwrite_default_scope('mmdet'):
            theirs: Any = MODELS.build(
                dict(
                    type='StandardRoIHead',
                    bbox_roi_extractor=dict(
                        type='SingleRoIExtractor',
                        roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=2),
                        out_channels=4,
                        featmap_strides=[4, 8],
                        finest_scale=16,
                    ),
                    bbox_head=dict(
                        type='Shared2FCBBoxHead',
                        in_channels=4,
                        fc_out_channels=6,
                        roi_feat_size=2,
                        num_classes=1,
                        reg_class_agnostic=True,
                        bbox_coder=dict(
                            type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
                        ),
                        loss_cls=dict(type='CrossEntropyLoss'),
                        loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
                    ),
                    train_cfg=built.train_cfg,
                    test_cfg=built.test_cfg,
                )
            )
        state = {
            'bbox_head.shared_fcs.0.weight': built.trunks['object'].fc6.weight,
            'bbox_head.shared_fcs.0.bias': built.trunks['object'].fc6.bias,
            'bbox_head.shared_fcs.1.weight': built.trunks['object'].fc7.weight,
            'bbox_head.shared_fcs.1.bias': built.trunks['object'].fc7.bias,
        } | {f'bbox_head.{name}': value for name, value in built.box_head.state_dict().items()}
        theirs.load_state_dict(state)
        maps, samples = feats(), two_images()
        for image in samples:
            image.gt_instances.labels = torch.zeros_like(image.gt_instances.labels)
        proposals = [InstanceData(bboxes=s.proposals, scores=s.proposal_scores) for s in samples]
        expected = theirs.loss(maps, proposals, samples)
        found = built.loss(maps, two_images())
        torch.testing.assert_close(found['loss_bbox'], expected['loss_bbox'])
        torch.testing.assert_close(found['loss_patch'], expected['loss_cls'])


class TestPrediction:
    @pytest.mark.parametrize('fusion', ['mean', 'max', 'product'])
    def test_image_score_is_the_best_patch(self, fusion: str) -> None:
        built = head(fusion=fusion)
        samples, maps = two_images(), feats()
        logits = built._label_logits(built._vectors(maps, [s.proposals for s in samples], samples)).double()
        scores = logits.sigmoid()
        fused = dict(mean=(scores[0] + scores[1]) / 2, max=scores.amax(0), product=scores[0] * scores[1])[fusion]
        expected = torch.stack([fused[:5].amax(0), fused[5:].amax(0)]).float()
        torch.testing.assert_close(built(maps, samples).sigmoid(), expected)
        predicted = built.predict(maps, samples)
        torch.testing.assert_close(torch.stack([s.pred_score for s in predicted]), expected)

    @pytest.mark.parametrize('branches', [('object',), ('context',)])
    def test_one_branch(self, branches: tuple[str]) -> None:
        """It predicts what it does in the whole head; boxes are told by the object branch in any case."""
        whole, alone = head(), head(branches=branches)
        alone.load_state_dict(whole.state_dict(), strict=False)
        assert not set(alone.state_dict()) - set(whole.state_dict())
        samples, maps = two_images(), feats()
        index = ('object', 'context').index(branches[0])
        logits = whole._label_logits(whole._vectors(maps, [s.proposals for s in samples], samples))[index]
        torch.testing.assert_close(alone(maps, samples), torch.stack([logits[:5].amax(0), logits[5:].amax(0)]))
        found = alone.predict(maps, samples)[0].pred_instances
        assert f'{branches[0]}_scores' in found
        assert len({'object_scores', 'context_scores'} & set(found.keys())) == 1
        assert set(alone.loss(maps, samples)) == {'loss_bbox', 'loss_patch', f'loss_{branches[0]}'}

    def test_boxes_by_hand(self) -> None:
        """Moved by the regressor, in pixels of the file, scored by objectness times label, suppressed by label."""
        built = head(test_cfg=dict(score_thr=0.0, max_per_img=1000))
        image = two_images()[0]
        image.set_metainfo(dict(ori_shape=(128, 288)))  # twice as high, three times as wide
        maps = feats(1)
        vectors = built._vectors(maps, [image.proposals], [image])
        logits = built._label_logits(vectors).sigmoid()
        scores, deltas = built.box_head(vectors['object'])
        built.test_cfg['nms'] = dict(type='nms', iou_threshold=1.0)  # of no effect
        found = built.predict(maps, [image])[0].pred_instances
        assert len(found) == 5 * NUM_CLASSES
        assert (found.scores.diff() <= 0).all()
        for index in range(len(found)):
            label = found.labels[index]
            row = (logits[0, :, label] == found.object_scores[index]).nonzero().item()
            assert logits[1, row, label] == found.context_scores[index]
            x1, y1, x2, y2 = image.proposals[row].tolist()
            dx, dy, dw, dh = (deltas[row] * torch.tensor([0.1, 0.1, 0.2, 0.2])).tolist()
            limit = abs(math.log(16 / 1000))
            w, h = (x2 - x1) * math.exp(min(dw, limit)), (y2 - y1) * math.exp(min(dh, limit))
            x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            expected = [min(max(c, 0), m) * k for c, m, k in zip(corners, (96, 64) * 2, (3, 2) * 2, strict=True)]
            assert found.bboxes[index].tolist() == pytest.approx(expected, abs=1e-2)
            objectness = scores[row].softmax(0)[0]
            assert found.scores[index].item() == pytest.approx((objectness * logits[:, row, label].mean()).item())
        built.test_cfg['max_per_img'] = 4
        assert torch.equal(built.predict(maps, [image])[0].pred_instances.scores, found.scores[:4])
        built.test_cfg['score_thr'] = 1.0
        empty = built.predict(maps, [image])[0].pred_instances
        assert empty.bboxes.shape == (0, 4)
        assert len(empty.object_scores) == len(empty.labels) == 0

    def test_context_looks_further(self) -> None:
        """What is around a patch reaches the context branch alone, and nothing else of the image does."""
        built = head()
        image = sample(torch.tensor([[40.0, 24, 56, 40]]), torch.zeros(0, 5))
        maps = feats(1)
        for x, y, moved in (((36, 20, (False, True))), ((8, 8, (False, False))), ((48, 32, (True, True)))):
            changed = tuple(m.clone() for m in maps)
            changed[0][..., y // 4, x // 4] += 5  # both patches are on the finest map
            before, after = (
                built._label_logits(built._vectors(m, [image.proposals], [image])) for m in (maps, changed)
            )
            assert tuple((before != after).flatten(1).any(1).tolist()) == moved


def test_layout_of_the_maps_changes_nothing() -> None:
    """mmcv's RoIAlign reads maps of another memory format as if they were of the usual one."""
    built = head()
    samples, maps = two_images(), feats()
    turned = tuple(m.contiguous(memory_format=torch.channels_last) for m in maps)
    torch.testing.assert_close(built(turned, samples), built(maps, samples))
    losses = [sum(built.loss(m, two_images()).values()) for m in (turned, maps)]
    torch.testing.assert_close(*losses)


class TestErrors:
    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(branches=()), 'branches'),
            (dict(branches='object'), 'branches'),
            (dict(branches=('object', 'scene')), 'branches'),
            (dict(fusion='sum'), 'fusion'),
            (dict(target='box'), 'target'),
            (dict(gamma=-1), 'gamma'),
            (dict(sigma=float('nan')), 'sigma'),
            (dict(context=dict(type='mlic_mm.ContextExpand', ratio=0.5)), 'ratio'),
        ],
    )
    def test_options(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            head(**options)

    def test_samples(self) -> None:
        built = head()
        with pytest.raises(ValueError, match='called without data samples'):
            built(feats())
        image = two_images()[0]
        del image.gt_instances
        with pytest.raises(ValueError, match='no gt_instances: in training, set with_boxes=True'):
            built.loss(feats(1), [image])
        image = two_images()[0]
        image.gt_instances.bboxes = image.gt_instances.bboxes * 10  # as without LoadAnnotations
        with pytest.raises(ValueError, match=r'objects outside of its image .*: in training, put LoadAnnotations'):
            built.loss(feats(1), [image])
        image = two_images()[0]
        del image.proposals
        with pytest.raises(ValueError, match='no proposals'):
            built.predict(feats(1), [image])


def test_images_without_objects_and_degenerate_ones_train() -> None:
    built = head()
    nothing = sample(torch.tensor([[0.0, 0, 30, 30], [5, 5, 60, 60]]), torch.zeros(0, 5))
    crowd = sample(nothing.proposals, torch.zeros(0, 5), torch.tensor([[0.0, 0, 90, 60, 1]]))
    flat = sample(nothing.proposals, torch.tensor([[5.0, 5, 5, 60, 1], [9, 9, 8, 8, 2]]))
    losses = built.loss(feats(3), [nothing, crowd, flat])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in built.parameters())
    assert losses['loss_bbox'] == 0
