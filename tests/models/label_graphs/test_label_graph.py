import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import LabelGraph
from mlic_mm.models.label_graphs.label_graph import edge_weights, with_self_loops

CLASSES = ('cat', 'dog', 'sofa')
TARGETS = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]])
# cat 2, dog 2, sofa 5; P(sofa|cat) = 1, P(sofa|dog) = 1/2, P(cat|sofa) = 2/5, P(dog|sofa) = 1/5
VECTORS = np.random.default_rng(0).normal(size=(3, 6)).astype('float32')


def data(vectors: bool = True) -> LabelGraphData:
    graph = LabelGraphData.from_targets(TARGETS, CLASSES)
    return LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 6, 0.5, VECTORS if vectors else None)


@pytest.mark.parametrize(
    ('threshold', 'pairs'),
    [
        (None, [(0, 0), (0, 2), (1, 1), (1, 2), (2, 2)]),
        (0.6, [(0, 0), (0, 2), (1, 1), (2, 2)]),
        (0.4, [(0, 0), (0, 2), (1, 1), (1, 2), (2, 0), (2, 2)]),
    ],
)
def test_edges_follow_the_threshold_and_hold_self_loops(threshold, pairs):
    graph = LabelGraph(data(), threshold=threshold, out_channels=4)
    assert [tuple(edge) for edge in graph.edges.T.tolist()] == pairs


def test_symmetric_normalisation_by_hand():
    edges = with_self_loops(torch.tensor([[0], [1]]), 2)  # 0 -> 1 and both loops: degrees 2 and 1
    weight = edge_weights(edges, torch.ones(2, 3), cosine=False)
    torch.testing.assert_close(weight, torch.tensor([1 / 2, 1 / 2**0.5, 1.0]))


def test_cosine_weights_by_hand():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    edges = with_self_loops(torch.tensor([[0, 0], [1, 2]]), 3)  # 0 -> 1 (cos √½), 0 -> 2 (cos −1, counts as 0)
    cosine = 0.5**0.5
    degree = 1 + cosine
    expected = torch.tensor([1 / degree, cosine / degree**0.5, 0.0, 1.0, 1.0])
    torch.testing.assert_close(edge_weights(edges, vectors, cosine=True), expected)


def test_zero_word_vector_stays_finite():
    vectors = np.zeros((3, 6), dtype='float32')
    assert LabelGraph(data(), vectors, layer='weighted', out_channels=4)().isfinite().all()


@pytest.mark.parametrize('layer', ['gcn', 'weighted', 'attention', 'residual'])
def test_dense_and_sparse_paths_agree(layer):
    graph = LabelGraph(data(), layer=layer, hidden_channels=(8, 8), out_channels=4)
    dense = graph()
    assert dense.shape == (3, 4)
    graph.sparse = True
    torch.testing.assert_close(dense, graph(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('layer', ['gcn', 'weighted', 'attention', 'residual'])
def test_order_of_labels_does_not_matter(layer):
    """Relabelling the nodes relabels the embeddings and changes nothing else."""
    order = ['sofa', 'cat', 'dog']
    torch.manual_seed(0)
    graph = LabelGraph(data(), layer=layer, out_channels=4)
    torch.manual_seed(0)
    other = LabelGraph(data().reordered(order), layer=layer, out_channels=4)
    torch.testing.assert_close(graph()[[2, 0, 1]], other())


def count(**kwargs) -> int:
    big = np.zeros((3, 300), dtype='float32')
    return sum(p.numel() for p in LabelGraph(data(), big, **kwargs).parameters())


def test_default_widths_are_the_papers():
    assert count(layer='gcn') == (300 * 1024 + 1024) + (1024 * 2048 + 2048)
    inner = 1024 * 1024 + 1024
    shell = (300 * 512 + 512) + (512 * 1024 + 1024) + (1024 * 2048 + 2048)
    for blocks in (1, 2, 3, 4):
        assert count(layer='residual', num_blocks=blocks) == shell + 2 * blocks * inner
    assert count(layer='attention') == 615_424 + 4_196_352 + 2 * (300 + 1024)


def test_checkpoint_carries_graph_and_vectors():
    saved = LabelGraph(data(), out_channels=4)
    fresh = LabelGraph(data(), np.zeros_like(VECTORS), out_channels=4)
    fresh.load_state_dict(saved.state_dict())
    torch.testing.assert_close(fresh(), saved())


def test_checkpoint_of_another_graph_is_refused():
    saved = LabelGraph(data(), out_channels=4).state_dict()
    with pytest.raises(ValueError, match=r'5 edges .* has 4'):
        LabelGraph(data(), threshold=0.6, out_channels=4).load_state_dict(saved, strict=False)


def test_builds_from_a_file_through_the_registry(tmp_path):
    data().save(tmp_path / 'graph.npz')
    graph = MODELS.build(dict(type='mlic_mm.LabelGraph', graph=str(tmp_path / 'graph.npz'), out_channels=4))
    assert graph.classes == CLASSES
    torch.testing.assert_close(graph.embeddings, torch.from_numpy(VECTORS))


def test_bad_arguments_name_value_and_cure(tmp_path):
    with pytest.raises(ValueError, match=r"'gat'.*attention"):
        LabelGraph(data(), layer='gat')
    with pytest.raises(ValueError, match='--word-vectors'):
        LabelGraph(data(vectors=False))
    with pytest.raises(ValueError, match=r'\(4, 6\).*3 classes'):
        LabelGraph(data(), np.zeros((4, 6)))
    with pytest.raises(FileNotFoundError, match=r'nowhere\.npz'):
        LabelGraph(tmp_path / 'nowhere.npz')


def test_single_label():
    lone = LabelGraphData.from_targets(np.array([[1], [0]]), ['cat'])
    assert LabelGraph(lone, np.ones((1, 6)), out_channels=4)().shape == (1, 4)
