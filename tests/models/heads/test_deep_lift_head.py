import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import DeepLIFTHead, LabelGraph


def graph_of(num_classes: int, width: int = 12) -> LabelGraphData:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, num_classes)) < 0.3).astype(int)
    graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(num_classes)], threshold=0.3)
    vectors = rng.normal(size=(num_classes, width)).astype('float32')
    return LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 200, 0.3, vectors)


def head_of(num_classes: int = 4, in_channels: int = 8, **kwargs) -> DeepLIFTHead:
    return DeepLIFTHead(num_classes, in_channels, dict(graph=graph_of(num_classes), hidden_channels=(6,)), **kwargs)


class FixedLabels(nn.Module):
    """Stands where a label graph stands; shows that any module giving ``(C, D)`` does."""

    def __init__(self, embeddings: torch.Tensor) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(embeddings)

    def forward(self) -> torch.Tensor:
        return self.embeddings


def test_literal_equations_by_hand():
    """Eq. 5 to 7 and the pooling on numbers small enough to write down."""
    labels = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    head = DeepLIFTHead(2, 2, FixedLabels(labels), projection=False, normalize_maps=False, residual='none')
    nn.init.zeros_(head.channel_attention.mlp[2].weight)  # attention MLP gives 0, the gate σ(0) = 1/2
    nn.init.zeros_(head.channel_attention.mlp[2].bias)
    feature = torch.tensor([[[[1.0, 3.0]], [[0.0, 1.0]]]])  # (1, 2, 1, 2)
    lift, attended = head.maps((feature,))
    torch.testing.assert_close(lift, torch.tensor([[[[1.0, 3.0]], [[1.0, 5.0]]]]))
    torch.testing.assert_close(attended, lift / 2)
    pooled = torch.tensor([[1.0, 1.5, 1.5, 2.5]])  # averages of both labels, then their maxima
    torch.testing.assert_close(head.logits(attended), head.mlp(pooled))
    torch.testing.assert_close(head((feature,)), head.mlp(pooled))
    assert torch.equal(head(feature), head((feature,)))  # one map, as plain PyTorch gives it


def test_stated_number_of_parameters():
    """ResNet-101 and 80 labels: 51.51 M, of which the backbone has 42.50 M (section IV-A)."""
    model = MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmpretrain.ResNet', depth=101),
            head=dict(
                type='mlic_mm.DeepLIFTHead',
                num_classes=80,
                in_channels=2048,
                label_graph=dict(graph=graph_of(80, width=300)),
            ),
        )
    )
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert sum(p.numel() for p in model.backbone.parameters()) / 1e6 == pytest.approx(42.50, abs=0.005)
    assert millions == pytest.approx(51.51, abs=0.05)


@pytest.mark.parametrize(('residual', 'avg', 'peak'), [('none', 0, 0), ('avg', 1, 0), ('max', 0, 1), ('both', 1, 1)])
def test_starts_as_the_pooled_maps(residual, avg, peak):
    head = head_of(residual=residual).eval()
    maps = head.maps((torch.randn(3, 8, 5, 5),)).attended
    pooled = avg * maps.mean(dim=(2, 3)) + peak * maps.amax(dim=(2, 3))
    if residual == 'none':  # nothing to start from: the MLP is not silenced
        assert head.logits(maps).abs().sum() > 0
    else:
        torch.testing.assert_close(head.logits(maps), pooled)


@pytest.mark.parametrize('attention', ['none', 'avg', 'max', 'both'])
@pytest.mark.parametrize('projection', [True, False])
def test_every_parameter_learns(attention, projection):
    torch.manual_seed(0)
    head = head_of(channel_attention=attention, projection=projection)
    nn.init.normal_(head.mlp[-1].weight)
    samples = [DataSample().set_gt_score(torch.tensor([1.0, 0.0, -1.0, 1.0])) for _ in range(3)]
    head.loss((torch.randn(3, 8, 4, 4),), samples)['loss'].backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_predict_sets_scores_and_labels():
    head = head_of().eval()
    samples = head.predict((torch.randn(2, 8, 4, 4),))
    assert samples[0].pred_score.shape == (4,)
    assert set(samples[0].pred_label.tolist()) == set((samples[0].pred_score >= 0.5).nonzero().flatten().tolist())


class CountingLabels(FixedLabels):
    calls = 0

    def forward(self) -> torch.Tensor:
        self.calls += 1
        return super().forward()


def ema_write(head: DeepLIFTHead) -> None:
    head.label_graph.embeddings.data.add_(1)


def optimiser_step(head: DeepLIFTHead) -> None:
    with torch.no_grad():
        head.label_graph.embeddings.mul_(2)


def load_weights(head: DeepLIFTHead) -> None:
    head.load_state_dict({k: v + 1 if 'embeddings' in k else v for k, v in head.state_dict().items()})


def projection_step(head: DeepLIFTHead) -> None:
    with torch.no_grad():
        head.projection.weight.mul_(2)


@pytest.mark.parametrize('change', [ema_write, optimiser_step, load_weights, projection_step])
def test_embeddings_are_kept_in_evaluation_until_weights_change(change):
    graph = CountingLabels(torch.randn(4, 8))
    head = DeepLIFTHead(4, 8, graph).eval()
    feats = (torch.randn(2, 8, 3, 3),)
    with torch.no_grad():
        first = head(feats)
        torch.testing.assert_close(head(feats), first, atol=0, rtol=0)
        assert graph.calls == 1
        change(head)
        changed = head(feats)
    assert graph.calls == 2
    assert not torch.allclose(changed, first)
    with torch.enable_grad():  # with gradients nothing is kept, or they would not reach the graph
        torch.testing.assert_close(head(feats).detach(), changed)


def test_mode_and_inference_mode_refresh():
    graph = CountingLabels(torch.randn(4, 8))
    head = DeepLIFTHead(4, 8, graph).eval()
    feats = (torch.randn(2, 8, 3, 3),)
    with torch.inference_mode():
        head(feats)
        head(feats)
    assert graph.calls == 1
    head.train().eval()
    with torch.no_grad():
        head(feats)
    assert graph.calls == 2


def test_training_after_evaluation_reaches_the_graph():
    head = head_of()
    with torch.no_grad():
        head.eval()((torch.randn(2, 8, 3, 3),))
    head.train()((torch.randn(2, 8, 3, 3),)).sum().backward()
    assert head.label_graph.layers[0].linear.weight.grad is not None


def test_works_under_autocast_and_double():
    head = head_of().eval()
    feats = (torch.randn(2, 8, 3, 3),)
    with torch.no_grad():
        full = head(feats)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            half = head(feats)
        torch.testing.assert_close(half.float(), full, atol=0.1, rtol=0.1)
        torch.testing.assert_close(head.double()((feats[0].double(),)).float(), full, atol=1e-4, rtol=1e-4)


def test_kept_embeddings_are_no_part_of_state_or_copies():
    import copy
    import pickle

    head = head_of().eval()
    with torch.no_grad():
        head((torch.randn(2, 8, 3, 3),))
    assert set(copy.deepcopy(head).state_dict()) == set(head_of().state_dict())
    pickle.loads(pickle.dumps(head.state_dict()))


def test_sizes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r'num_classes=5 must be .* of the label graph, 4 \('):
        DeepLIFTHead(5, 8, dict(graph=graph_of(4)))
    with pytest.raises(ValueError, match=r'in_channels=8 must be the width .*, 16'):
        DeepLIFTHead(4, 8, LabelGraph(graph_of(4), out_channels=16))
    with pytest.raises(ValueError, match=r'\(N, 8, H, W\), got \(2, 8\)'):
        head_of()((torch.randn(2, 8),))
    with pytest.raises(ValueError, match=r'got \(2, 9, 3, 3\)'):
        head_of()((torch.randn(2, 9, 3, 3),))
    with pytest.raises(ValueError, match='mean'):
        head_of(residual='mean')
    with pytest.raises(ValueError, match='sum'):
        head_of(channel_attention='sum')


def test_one_image_one_pixel():
    assert head_of().eval()((torch.randn(1, 8, 1, 1),)).shape == (1, 4)
