"""What ``docs/export.md`` says of exporters: the scores they give, for other images and batches than the example's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from tiny_spatial_context import NEEDS_MMDET, model_config
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import EnsembleClassifier, LabelGraph, constant_labels
from mlic_mm.models.heads import ConstantLabels

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings('ignore')]
EXAMPLE, IMAGES = torch.rand(2, 3, 32, 32), torch.rand(3, 3, 32, 32) * 2 - 1
Run = Callable[..., Tensor]
LAYERS = ('gcn', 'weighted', 'attention', 'residual')


class Backbone(nn.Module):
    """A map of 8 channels and stride 8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.conv(x).relu(),)


def classifier(head: dict | nn.Module, kind: str = 'mmpretrain.ImageClassifier', **options: Any) -> ImageClassifier:
    torch.manual_seed(0)
    return MODELS.build(dict(type=kind, backbone=Backbone(), head=head, **options)).eval()


def deep_lift(layer: str = 'attention', sparse: bool = False, **options: Any) -> ImageClassifier:
    rng = np.random.default_rng(0)
    targets = (rng.random((50, 6)) < 0.3).astype(int)
    graph = LabelGraphData.from_targets(targets, [f'label {i}' for i in range(6)], threshold=0.3)
    vectors = rng.normal(size=(6, 5)).astype('float32')
    graph = LabelGraphData(graph.classes, graph.counts, graph.cooccurrence, 50, 0.3, vectors)
    label_graph = LabelGraph(graph, layer=layer, hidden_channels=(7,), out_channels=8, sparse=sparse)
    return classifier(
        dict(type='mlic_mm.DeepLIFTHead', num_classes=6, in_channels=8, label_graph=label_graph), **options
    )


def linear() -> ImageClassifier:
    head = dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=6, in_channels=8)
    return classifier(head, neck=dict(type='mmpretrain.GlobalAveragePooling'))


def csra() -> ImageClassifier:
    return classifier(dict(type='mmpretrain.CSRAClsHead', num_classes=6, in_channels=8, num_heads=2, lam=0.1))


def exported(model: nn.Module, folder: Path) -> Run:
    return torch.export.export(model, (EXAMPLE,), dynamic_shapes=dict(inputs={0: torch.export.Dim('batch')})).module()


def traced(model: nn.Module, folder: Path) -> Run:
    return torch.jit.trace(model, EXAMPLE)


def compiled(model: nn.Module, folder: Path) -> Run:
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend='aot_eager')


def onnx_script(model: nn.Module, folder: Path) -> Run:
    axes = dict(input_names=['inputs'], dynamic_axes=dict(inputs={0: 'batch'}))
    torch.onnx.export(model, (EXAMPLE,), folder / 'model.onnx', dynamo=False, **axes)
    return session(folder / 'model.onnx')


def onnx_dynamo(model: nn.Module, folder: Path) -> Run:
    batch = dict(dynamic_shapes=dict(inputs={0: torch.export.Dim('batch')}))
    torch.onnx.export(model, (EXAMPLE,), folder / 'model.onnx', dynamo=True, verbose=False, **batch)
    return session(folder / 'model.onnx')


def session(file: Path) -> Run:
    run = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    return lambda images: torch.from_numpy(run.run(None, {run.get_inputs()[0].name: images.numpy()})[0])


def check(model: nn.Module, export: Callable[[nn.Module, Path], Run], folder: Path) -> None:
    with torch.no_grad():
        torch.testing.assert_close(export(model, folder)(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)


def ensemble() -> EnsembleClassifier:
    return EnsembleClassifier([dict(model=deep_lift('attention'), flip=True), dict(model=csra(), weight=2)])


FAST = pytest.mark.parametrize('export', [exported, traced, compiled, onnx_script])


@FAST
@pytest.mark.parametrize(('layer', 'sparse'), [('attention', False), *((layer, True) for layer in LAYERS)])
def test_deep_lift(layer: str, sparse: bool, export: Any, tmp_path: Path) -> None:
    check(deep_lift(layer, sparse), export, tmp_path)


@FAST
@pytest.mark.parametrize('model', [linear, csra, ensemble])
def test_others(model: Callable[[], nn.Module], export: Any, tmp_path: Path) -> None:
    check(model(), export, tmp_path)


@pytest.mark.parametrize(
    'model',
    [lambda: deep_lift('attention', sparse=True), lambda: constant_labels(deep_lift('residual')), linear, csra],
    ids=['sparse', 'constants', 'linear', 'csra'],
)
def test_onnx(model: Callable[[], nn.Module], tmp_path: Path) -> None:
    """Of an ensemble, see ``test_ensemble_classifier.py``."""
    check(model(), onnx_dynamo, tmp_path)


@pytest.mark.parametrize(
    'objective',
    [
        dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')]),
        dict(type='mlic_mm.Distillation', losses=dict(soft=dict(type='mlic_mm.HintonDistillLoss'))),
    ],
)
def test_classifiers_with_more_in_training_are_plain_ones(objective: dict, tmp_path: Path) -> None:
    model = deep_lift(kind='mlic_mm.MultiLabelClassifier', objectives=dict(more=objective))
    check(model, exported, tmp_path)


@pytest.mark.parametrize('grad', [True, False])
def test_a_trace_holds_embeddings_as_constants(grad: bool, tmp_path: Path) -> None:
    with torch.set_grad_enabled(grad):
        onnx_script(deep_lift('attention', sparse=True), tmp_path)
    stored = {each.name: tuple(each.dims) for each in onnx.load(tmp_path / 'model.onnx').graph.initializer}
    assert not any('label_graph' in name or 'projection' in name for name in stored)


def test_constant_labels() -> None:
    """The copy has no graph, the model is as it was; later weights of the model do not reach the copy."""
    model = deep_lift('attention').train()
    fixed = constant_labels(model)
    assert model.training
    assert not fixed.training
    assert isinstance(model.head.label_graph, LabelGraph)
    assert isinstance(fixed.head.label_graph, ConstantLabels)
    assert fixed.head.label_graph.classes == model.head.label_graph.classes
    assert [name for name in fixed.head.state_dict() if 'graph' in name] == ['label_graph.embeddings']
    with torch.no_grad():
        scores = model.eval()(IMAGES)
        torch.testing.assert_close(fixed(IMAGES), scores)
        model.head.label_graph.embeddings.mul_(2)
        assert not torch.allclose(model(IMAGES), scores)
        torch.testing.assert_close(fixed(IMAGES), scores)
        both = ensemble()
        fixed = constant_labels(both)
        assert isinstance(fixed.members[0].head.label_graph, ConstantLabels)
        torch.testing.assert_close(fixed(IMAGES), both(IMAGES))


class Regions(nn.Module):
    """As in ``docs/export.md``."""

    def __init__(self, model: ImageClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, boxes: Tensor, scores: Tensor) -> Tensor:
        samples = [DataSample(proposals=box, proposal_scores=score) for box, score in zip(boxes, scores, strict=True)]
        return self.model.head(self.model.extract_feat(images), samples)


def regions(images: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(images, 4, 4, generator=rng) * 16
    corners[..., 2:] += corners[..., :2]
    return torch.rand(images, 3, 32, 32, generator=rng), corners, torch.rand(images, 4, generator=rng)


def test_weakly_supervised_detector(tmp_path: Path) -> None:
    model = Regions(classifier(dict(type='mlic_mm.WSDDNHead', num_classes=6, in_channels=8, stride=8)))
    example, other = regions(2, 0), regions(2, 1)
    with torch.no_grad():
        assert not torch.allclose(model(*other), model(*example))
        for program in (torch.export.export(model, example).module(), torch.jit.trace(model, example)):
            torch.testing.assert_close(program(*other), model(*other))
        for dynamo in (False, True):
            with pytest.raises(Exception, match=r'WSDDNHead cannot be exported to ONNX.*torch\.export'):
                torch.onnx.export(model, example, tmp_path / 'model.onnx', dynamo=dynamo, verbose=False)


class Maps(nn.Module):
    """What of a spatial-context-aware network can be exported."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return self.model.extract_feat(inputs)


@NEEDS_MMDET
def test_spatial_context(tmp_path: Path) -> None:
    """A trace of it would give other scores, even for the image it was traced with."""
    model = MODELS.build(model_config(6)).eval()
    with torch.no_grad():
        assert model(EXAMPLE).shape == (2, 6)
        for export in (exported, traced, onnx_script):
            with pytest.raises(Exception, match=r'RegionProposals cannot be exported.*docs/export\.md'):
                export(model, tmp_path)
        maps = Maps(model)
        torch.testing.assert_close(exported(maps, tmp_path)(IMAGES), maps(IMAGES), rtol=1e-4, atol=1e-4)
