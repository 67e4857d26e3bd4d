"""Weakly supervised detection: Eq. 2 and section 3.1 of KD from WSD."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.heads import WSDDNHead
from mlic_mm.registry import MODELS


def head(seed: int = 0, spread: float = 1.0, **options: Any) -> WSDDNHead:
    """A head with random weights and biases."""
    torch.manual_seed(seed)
    options = dict(num_classes=3, in_channels=4, stride=8, roi_size=2) | options
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = WSDDNHead(**options)
    for layer in (built.fc_cls, built.fc_det):
        torch.nn.init.normal_(layer.weight, std=spread)
        torch.nn.init.normal_(layer.bias, std=spread)
    return built.eval()


def sample(boxes: Tensor, scores: Tensor | None = None, target: list[float] | None = None, **meta: Any) -> DataSample:
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96)) | meta
    made = DataSample(metainfo=meta)
    made.set_field(boxes, 'proposals')
    made.set_field(torch.ones(len(boxes)) if scores is None else scores, 'proposal_scores')
    return made if target is None else made.set_gt_score(torch.tensor(target))


def random_samples(*counts: int, seed: int = 0) -> list[DataSample]:
    """Samples of 64 × 96 pixels with so many proposals."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for count in counts:
        corners = torch.rand(count, 2, 2, generator=generator).sort(1).values * torch.tensor([88.0, 56.0])
        corners[:, 1] += 8
        made.append(sample(corners.flatten(1), torch.rand(count, generator=generator) + 0.1, [1, 0, 1]))
    return made


def random_feats(num: int, seed: int = 0) -> tuple[Tensor]:
    return (torch.randn(num, 4, 8, 12, generator=torch.Generator().manual_seed(seed)),)


def bce(logits: Tensor, target: Tensor) -> float:
    """Double-precision cross-entropy of probabilities clamped to [1e-6, 1 − 1e-6], summed over known labels."""
    p = logits.double().sigmoid().clamp(1e-6, 1 - 1e-6)
    each = -(target * p.log() + (1 - target) * (1 - p).log())
    return (each * (target >= 0)).sum().item() / len(target)


class TestEquations:
    def test_by_hand(self) -> None:
        """A 1-channel map of 1 × 2 cells, two regions of one cell with priors 1/2 and 2, two labels."""
        built = head(num_classes=2, in_channels=1, stride=10, roi_size=1)
        three = math.log(3)
        with torch.no_grad():
            built.fc_cls.weight.copy_(torch.tensor([[0.0], [three]]))
            built.fc_det.weight.copy_(torch.tensor([[three], [0.0]]))
            built.fc_cls.bias.zero_()
            built.fc_det.bias.zero_()
        feats = (torch.tensor([[[[4.0, 0.5]]]]),)
        boxes = torch.tensor([[0.0, 0, 4, 4], [12, 0, 14, 4]])
        inputs = [sample(boxes, torch.tensor([0.5, 2.0]), img_shape=(10, 20))]
        regions = built.region_logits(feats, inputs)  # features 0.5 · 4 = 2 and 2 · 0.5 = 1
        torch.testing.assert_close(regions.cls, torch.tensor([[[0, 2 * three], [0, three]]]))
        torch.testing.assert_close(regions.det, torch.tensor([[[2 * three, 0], [three, 0]]]))
        # Over labels: (1, 9)/10 and (1, 3)/4. Over regions: (9, 3)/12 for the first label, halves for the second.
        p = torch.tensor([[1 / 10 * 3 / 4 + 1 / 4 * 1 / 4, 9 / 10 / 2 + 3 / 4 / 2]])
        torch.testing.assert_close(built(feats, inputs).sigmoid(), p)
        assert torch.equal(regions.boxes[0], boxes)
        torch.testing.assert_close(built.predict(feats, inputs)[0].pred_score, p[0])

    def test_without_prior(self) -> None:
        feats, inputs = random_feats(1), random_samples(5)
        inputs[0].proposal_scores[:] = 1
        with_one = head()(feats, inputs)
        inputs[0].proposal_scores.uniform_(5, 9)
        torch.testing.assert_close(head(use_prior=False)(feats, inputs), with_one)
        assert not torch.allclose(head()(feats, inputs), with_one)

    def test_last_map_is_used(self) -> None:
        feats, inputs = random_feats(1), random_samples(5)
        assert torch.equal(head()((torch.randn(1, 9, 3, 3), *feats), inputs), head()(feats, inputs))

    @given(
        counts=st.lists(st.integers(1, 6), min_size=1, max_size=3),
        spread=st.sampled_from([0.01, 1, 1e4]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=30, deadline=None)
    def test_image_is_what_it_is_alone(self, counts: list[int], spread: float, seed: int) -> None:
        """With padding, of every magnitude; probabilities in [0, 1] of their regions' scores."""
        built = head(seed, spread, test_cfg=dict(boxes=True, iou_threshold=1.0, score_thr=-1.0, max_per_img=1000))
        feats, inputs = random_feats(len(counts), seed), random_samples(*counts, seed=seed)
        together = built(feats, inputs)
        assert together.isfinite().all()
        results = built.predict(feats, inputs)
        for i, count in enumerate(counts):
            alone = built((feats[0][i : i + 1],), inputs[i : i + 1])[0]
            torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-4)  # sums of another shape
            found = results[i].pred_instances
            assert len(found.scores) == count * 3
            image = torch.zeros(3).index_add_(0, found.labels, found.scores)  # sum over regions
            assert ((image >= 0) & (image <= 1 + 1e-6)).all()
            torch.testing.assert_close(image, results[i].pred_score, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(results[i].regions.scores.sum(), image.sum())

    def test_one_region(self) -> None:
        """The softmax over regions is 1: what remains is the softmax over labels."""
        built, feats, inputs = head(), random_feats(1), random_samples(1)
        regions = built.region_logits(feats, inputs)
        torch.testing.assert_close(built(feats, inputs).sigmoid(), regions.cls[:, 0].softmax(-1))

    def test_fully_connected_layers(self) -> None:
        """fc6 and fc7 of VGG look at 7 × 7 parts: moving a part's value to another part changes the result."""
        neck = dict(type='mlic_mm.VGGNeck', in_channels=4, out_channels=6)
        built = head(region_neck=neck, in_channels=6, roi_size=7)
        maps = random_feats(1)[0]
        inputs = [sample(torch.tensor([[0.0, 0, 96, 64], [0, 0, 48, 64]]))]
        assert built((maps,), inputs).shape == (1, 3)
        assert not torch.allclose(built((maps,), inputs), built((maps.flip(3),), inputs))
        # Average pooling of single cells does not see where they are.
        pooled = head(roi_size=8)
        square = [sample(torch.tensor([[0.0, 0, 63, 63]]), img_shape=(64, 64))]
        torch.testing.assert_close(pooled((maps[..., :8],), square), pooled((maps[..., :8].flip(3),), square))

    def test_dropout_of_the_layers_is_off_in_evaluation(self) -> None:
        neck = dict(type='mlic_mm.VGGNeck', in_channels=4, out_channels=16)
        built = head(region_neck=neck, in_channels=16, roi_size=7)
        feats, inputs = random_feats(1), random_samples(5)
        assert torch.equal(built(feats, inputs), built(feats, inputs))
        built.train()
        assert not torch.equal(built(feats, inputs), built(feats, inputs))


class TestRecycledRegions:
    feats, inputs = random_feats(1), random_samples(6)

    def predict(self, index: list[int]) -> DataSample:
        given_ = self.inputs[0]
        chosen = sample(given_.proposals[index], given_.proposal_scores[index])
        return head(test_cfg=dict(boxes=True, score_thr=0.0)).predict(self.feats, [chosen])[0]

    def test_all_equally_often(self) -> None:
        """The image's probabilities and the boxes are the same; the copies share the scores of a region."""
        once, thrice = self.predict([*range(6)]), self.predict([*range(6)] * 3)
        torch.testing.assert_close(thrice.pred_score, once.pred_score)
        for name in ('pred_instances', 'regions'):
            expected, found = once.get(name), thrice.get(name)
            torch.testing.assert_close(found.scores * 3, expected.scores)
            assert torch.equal(found.bboxes, expected.bboxes)

    def test_some_more_often(self) -> None:
        """A region twice weighs twice in the softmax over regions; its box is found once."""
        found = self.predict([*range(6), 0, 1])
        built = head()
        regions = built.region_logits(self.feats, self.inputs)
        share = regions.det[0].exp() * torch.tensor([2.0, 2, 1, 1, 1, 1])[:, None]
        p = (regions.cls[0].softmax(1) * share / share.sum(0)).sum(0)
        torch.testing.assert_close(found.pred_score, p)
        assert len(found.regions.bboxes.unique(dim=0)) == len(found.regions)


class TestLoss:
    def test_cross_entropy_of_clamped_probabilities(self) -> None:
        """Of every magnitude, against double precision; labels marked -1 count for nothing."""
        target = torch.tensor([[1.0, 0, -1], [0, -1, 1], [0, 1, 0]])
        for spread in (0.1, 3, 100):
            built = head(spread=spread)
            feats, inputs = random_feats(3), random_samples(4, 2, 3)
            for each, row in zip(inputs, target, strict=True):
                each.set_gt_score(row)
            loss = built.loss(feats, inputs)['loss']
            assert loss.item() == pytest.approx(bce(built(feats, inputs), target), rel=1e-5)
        assert (built(feats, inputs).abs() > 20).any()  # beyond the clamp

    def test_by_scores_of_regions(self) -> None:
        """The same from the fused scores themselves, without the logarithms of the implementation."""
        built = head()
        feats, inputs = random_feats(1), random_samples(4)
        regions = built.region_logits(feats, inputs)
        p = (regions.cls.double().softmax(2) * regions.det.double().softmax(1)).sum(1)
        expected = F.binary_cross_entropy(p, torch.tensor([[1.0, 0, 1]], dtype=torch.float64), reduction='sum')
        assert built.loss(feats, inputs)['loss'].item() == pytest.approx(expected.item(), rel=1e-6)

    @pytest.mark.parametrize('target', [0.0, 1.0])
    @pytest.mark.parametrize('margin', [15, 30, 200, 1e4])
    def test_wrong_by_far_is_still_learnt(self, margin: float, target: float) -> None:
        """Where p rounds to 1 − target: the loss is that of the clamp, the gradient not zero, and a step mends it."""
        built = head(num_classes=2)
        feats, inputs = random_feats(1), [sample(random_samples(3)[0].proposals, target=[target, -1])]
        for layer in (built.fc_cls, built.fc_det):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        with torch.no_grad():
            built.fc_cls.bias[0] = margin if target == 0 else -margin
        loss = built.loss(feats, inputs)['loss']
        assert loss.item() == pytest.approx(-math.log(1e-6), rel=1e-3) or margin == 15
        loss.backward()
        for parameter in built.parameters():
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
        assert built.fc_cls.bias.grad[0].item() == pytest.approx(1 if target == 0 else -1, rel=1e-3)  # type: ignore[index]

    def test_padding_gives_no_nan_gradient(self) -> None:
        built = head().train()
        maps = random_feats(2)[0].requires_grad_()
        built.loss((maps,), random_samples(1, 5))['loss'].backward()
        for grad in (maps.grad, *(parameter.grad for parameter in built.parameters())):
            assert grad is not None
            assert grad.isfinite().all()
            assert (grad != 0).any()

    def test_learns_where_a_label_is(self) -> None:
        """Labels of images alone, two kinds of cells: afterwards the box of a label lies on its cell."""
        generator = torch.Generator().manual_seed(0)
        cells = torch.tensor([[8.0 * x, 8 * y, 8 * x + 3, 8 * y + 3] for y in range(3) for x in range(3)])
        maps, inputs, places = torch.rand(24, 4, 3, 3, generator=generator) * 0.3, [], []
        for i, map_ in enumerate(maps):
            label, place = i % 3, int(torch.randint(9, (), generator=generator))
            map_[label].view(-1)[place] = 2
            inputs.append(sample(cells, target=F.one_hot(torch.tensor(label), 3).float().tolist(), img_shape=(24, 24)))
            inputs[-1].set_metainfo(dict(ori_shape=(24, 24)))
            places.append(cells[place])
        built = head(spread=0.01, roi_size=1, test_cfg=dict(boxes=True)).train()
        optimiser = torch.optim.Adam(built.parameters(), lr=0.1)
        for _ in range(60):
            optimiser.zero_grad()
            built.loss((maps,), inputs)['loss'].backward()
            optimiser.step()
        built.eval()
        for i, found in enumerate(built.predict((maps,), inputs)):
            assert found.pred_score.argmax() == i % 3
            assert found.pred_instances.labels[0] == i % 3
            assert torch.equal(found.pred_instances.bboxes[0], places[i])


def overlap(a: list[float], b: list[float]) -> float:
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(tall, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def keep_best(boxes: list[list[float]], scores: list[float], threshold: float) -> list[tuple[float, list[float]]]:
    """Non-maximum suppression in plain Python."""
    kept: list[tuple[float, list[float]]] = []
    for score, box in sorted(zip(scores, boxes, strict=True), reverse=True):
        if all(overlap(box, other) <= threshold for _, other in kept):
            kept.append((score, box))
    return kept


class TestBoxes:
    @pytest.mark.parametrize('threshold', [0.2, 0.4, 0.8])
    def test_against_a_plain_suppression(self, threshold: float) -> None:
        """For each label, scores above 0.01, the best 12 of all labels; and of all labels together by s'."""
        cfg = dict(boxes=True, iou_threshold=threshold, score_thr=0.01, max_per_img=12)
        built = head(test_cfg=cfg)
        feats, inputs = random_feats(2), random_samples(30, 17)
        regions = built.region_logits(feats, inputs)
        for i, found in enumerate(built.predict(feats, inputs)):
            boxes = inputs[i].proposals.tolist()
            scores = (regions.cls[i].softmax(1) * regions.det[i].softmax(0))[: len(boxes)]
            expected = []
            for label in range(3):
                good = [r for r in range(len(boxes)) if scores[r, label] > 0.01]
                kept = keep_best([boxes[r] for r in good], [scores[r, label].item() for r in good], threshold)
                expected += [(score, label, box) for score, box in kept]
            expected = sorted(expected, reverse=True)
            assert len(expected) > 12 or threshold < 0.8
            self.compare(found.pred_instances, [(score, box) for score, _, box in expected[:12]])
            assert found.pred_instances.labels.tolist() == [label for _, label, _ in expected[:12]]
            self.compare(found.regions, keep_best(boxes, scores.sum(1).tolist(), threshold)[:12])

    @staticmethod
    def compare(found: Any, expected: list[tuple[float, list[float]]]) -> None:
        torch.testing.assert_close(found.scores, torch.tensor([score for score, _ in expected]))
        torch.testing.assert_close(found.bboxes, torch.tensor([box for _, box in expected]))

    def test_pixels_of_the_file(self) -> None:
        """An image of 64 × 96 that was 128 × 480: boxes grow by 2 downwards and by 5 sidewards."""
        built = head(test_cfg=dict(boxes=True))
        feats, inputs = random_feats(1), random_samples(9)
        same = built.predict(feats, random_samples(9))[0]
        inputs[0].set_metainfo(dict(ori_shape=(128, 480)))
        grown = built.predict(feats, inputs)[0]
        for name in ('pred_instances', 'regions'):
            torch.testing.assert_close(grown.get(name).bboxes, same.get(name).bboxes * torch.tensor([5.0, 2, 5, 2]))
            torch.testing.assert_close(grown.get(name).scores, same.get(name).scores)

    def test_nothing_above_the_threshold(self) -> None:
        found = head(test_cfg=dict(boxes=True, score_thr=1.0)).predict(random_feats(1), random_samples(9))[0]
        assert found.pred_instances.bboxes.shape == (0, 4)
        assert len(found.regions)

    def test_only_when_asked_for(self) -> None:
        found = head().predict(random_feats(1), random_samples(9))[0]
        assert 'pred_instances' not in found
        assert 'regions' not in found
        assert found.pred_label.tolist() == (found.pred_score >= 0.5).nonzero().flatten().tolist()

    @pytest.mark.parametrize('key', ['ori_shape', 'img_shape'])
    def test_missing_meta_key(self, key: str) -> None:
        given_ = random_samples(2)[0]
        shapes = {name: value for name, value in given_.metainfo.items() if name != key}
        bare = DataSample(metainfo=shapes)
        bare.set_field(given_.proposals, 'proposals')
        bare.set_field(given_.proposal_scores, 'proposal_scores')
        with pytest.raises(ValueError, match=f'{key}.*add it to meta_keys'):
            head(test_cfg=dict(boxes=True)).predict(random_feats(1), [bare])
        assert head().predict(random_feats(1), [bare])[0].pred_score.shape == (3,)


class TestBadInput:
    def test_no_samples(self) -> None:
        with pytest.raises(ValueError, match=r'without data samples.*mlic_mm\.LoadProposals'):
            head()(random_feats(1))

    @pytest.mark.parametrize('field', ['proposals', 'proposal_scores'])
    def test_no_proposals(self, field: str) -> None:
        inputs = random_samples(3, 3)
        inputs[1].pop(field)
        inputs[1].set_metainfo(dict(img_id='b17'))
        with pytest.raises(ValueError, match=r'sample b17 has no proposals.*mlic_mm\.PackProposals'):
            head()(random_feats(2), inputs)

    def test_empty_proposals(self) -> None:
        with pytest.raises(ValueError, match='sample 1 has no proposals'):
            head()(random_feats(2), [*random_samples(3), sample(torch.zeros(0, 4))])

    def test_samples_of_other_images(self) -> None:
        with pytest.raises(ValueError, match='boxes of 3 images for the maps of 2'):
            head()(random_feats(2), random_samples(3, 3, 3))

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(num_classes=1), 'num_classes=1 must be a whole number at least 2'),
            (dict(stride=0), 'stride=0 must be a whole number at least 1'),
            (dict(roi_size=0), 'roi_size=0 must be a whole number at least 1'),
            (dict(eps=0), 'eps=0 must be a number above 0 and below 0.5'),
            (dict(test_cfg=dict(nms=0.5)), "test_cfg=.* has no option 'nms'; choose from boxes, iou_threshold"),
        ],
    )
    def test_options(self, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            head(**options)


class TestInAClassifier:
    @staticmethod
    def classifier() -> Any:
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            built = MODELS.build(
                dict(
                    type='ImageClassifier',
                    backbone=dict(
                        type='ResNet',
                        depth=18,
                        stem_channels=8,
                        base_channels=8,
                        out_indices=(1,),
                        zero_init_residual=False,
                    ),
                    head=dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=16, stride=8),
                    data_preprocessor=dict(num_classes=3),
                )
            )
        built.init_weights()
        torch.nn.init.normal_(built.head.fc_cls.weight)
        torch.nn.init.normal_(built.head.fc_det.weight)
        return built

    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    def test_gradient_reaches_every_layer(self) -> None:
        built = self.classifier().train()
        built.loss(self.images, random_samples(5, 5, 5))['loss'].backward()
        for name, parameter in built.named_parameters():
            if not name.startswith(('backbone.layer3', 'backbone.layer4')):
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert (parameter.grad != 0).any(), name

    def test_batches_make_no_difference(self) -> None:
        built = self.classifier().eval()
        inputs = random_samples(5, 3, 4)
        together = built(self.images, inputs, mode='predict')
        for i in range(3):
            alone = built(self.images[i : i + 1], inputs[i : i + 1], mode='predict')[0]
            torch.testing.assert_close(alone.pred_score, together[i].pred_score)

    def test_autocast(self) -> None:
        """bfloat16 convolutions and linear layers; pooling, softmax and loss in single precision."""
        built = self.classifier().train()
        inputs = random_samples(5, 3, 4)
        exact = built.loss(self.images, inputs)['loss']
        with torch.autocast('cpu', torch.bfloat16):
            loss = built.loss(self.images, inputs)['loss']
            regions = built.head.region_logits(built.extract_feat(self.images), inputs)
        assert loss.dtype == regions.cls.dtype == torch.float32
        assert loss.item() == pytest.approx(exact.item(), rel=0.05)
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters())


def test_stride_that_is_not_the_maps() -> None:
    sample = DataSample(metainfo=dict(img_shape=(128, 160)))
    sample.set_field(torch.tensor([[0.0, 0.0, 160.0, 128.0]]), 'proposals')
    sample.set_field(torch.ones(1), 'proposal_scores')
    for stride, fits in ((16, False), (32, True)):
        head = WSDDNHead(num_classes=3, in_channels=2, stride=stride)
        if fits:
            assert head((torch.rand(1, 2, 4, 5),), [sample]).shape == (1, 3)
        else:
            with pytest.raises(ValueError, match=r'stride=16 must be .* 160 × 128 pixels have maps of 5 × 4'):
                head((torch.rand(1, 2, 4, 5),), [sample])


def test_images_of_several_sizes() -> None:
    """As multi-scale training gives them: padded on the right and below, where no region is."""
    torch.manual_seed(0)
    model_cfg = dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, num_classes=3),
        backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
        head=dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=32, stride=32, roi_size=2),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(model_cfg).eval()
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((96, 64), (64, 128))]
    inputs = [
        sample(torch.tensor([[0.0, 0, w, h], [0, 0, 40, 40]]), target=[1, 0, 1], img_shape=(h, w))
        for h, w in ((96, 64), (64, 128))
    ]
    data = model.data_preprocessor(dict(inputs=images, data_samples=inputs), True)
    assert data['inputs'].shape == (2, 3, 96, 128)
    assert model(**data, mode='loss')['loss'].isfinite()
    # The first region of the second image ends at its own edge, two of the three rows of cells.
    regions = model.head.region_logits(model.extract_feat(data['inputs']), data['data_samples'])
    assert regions.boxes[1][0].tolist() == [0, 0, 128, 64]
    assert torch.equal(regions.boxes[0][0], torch.tensor([0.0, 0, 64, 96]))
