"""Label embeddings from word vectors and a graph of labels (Deep-LIFT, section III-B)."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models.layers import AttentionGraphConv, GraphConv, ResidualGraphBlock
from mlic_mm.registry import MODELS

LAYERS = ('gcn', 'weighted', 'attention', 'residual')
# Below this many labels a dense (C, C) product is faster than a sparse one.
MAX_DENSE_LABELS = 1024


@MODELS.register_module()
class LabelGraph(BaseModule):
    """Maps the word vectors of ``C`` labels to embeddings that know of each other.

    | ``layer``       | aggregation over neighbours                                        | Deep-LIFT        |
    |-----------------|--------------------------------------------------------------------|------------------|
    | ``'gcn'``       | symmetrically normalised adjacency                                 | Eq. 2            |
    | ``'weighted'``  | the same, entries replaced by the cosine similarity of word vectors | Table III        |
    | ``'attention'`` | learned, softmax over neighbours                                   | Eq. 3 (AGCN)     |
    | ``'residual'``  | as ``'gcn'``, deeper, with identity shortcuts                      | Eq. 4 (RGCN)     |

    A leaky unit follows every layer but the last: embeddings act as classifier weights and keep both signs. Self-loops
    are always on. Word vectors, edges and edge weights are buffers: a checkpoint holds the graph it was trained on.

    Args:
        graph: Path of a file written by ``tools/build_label_graph.py``, or the data itself.
        embeddings: ``(C, d)`` word vectors in the order of the graph's classes; None takes those in ``graph``.
        layer: One of the four above.
        hidden_channels: Widths between input and output; None is the paper's: ``(1024,)``, for ``'residual'``
            ``(512, 1024)``.
        out_channels: Width ``D`` of the embeddings.
        num_blocks: Residual blocks at the last hidden width, for ``layer='residual'`` only (Table VI).
        threshold: τ: an edge from label i to j exists where P(j | i) ≥ τ; None takes the file's.
        attention_hidden: Width of the pair-scoring MLP, for ``layer='attention'``; None scores with one vector a side.
        negative_slope: Slope of the leaky units.
        sparse: Compute along the edges instead of in ``(C, C)`` matrices; None decides by the number of labels.
        init_cfg: Initialisation config of mmengine.

    Raises:
        ValueError: Unknown ``layer``, no word vectors, or word vectors that do not match the graph's classes.
    """

    embeddings: Tensor
    edges: Tensor
    edge_weight: Tensor

    def __init__(
        self,
        graph: str | PathLike | LabelGraphData,
        embeddings: np.ndarray | Tensor | None = None,
        layer: str = 'attention',
        hidden_channels: Sequence[int] | None = None,
        out_channels: int = 2048,
        num_blocks: int = 1,
        threshold: float | None = None,
        attention_hidden: int | None = None,
        negative_slope: float = 0.2,
        sparse: bool | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if layer not in LAYERS:
            raise ValueError(f'layer of LabelGraph is {layer!r}; choose one of {", ".join(LAYERS)}')
        source = 'the graph' if isinstance(graph, LabelGraphData) else f'{graph}'
        if not isinstance(graph, LabelGraphData):
            graph = LabelGraphData.load(graph)
        if embeddings is None:
            embeddings = graph.embeddings
        if embeddings is None:
            raise ValueError(
                f'{source} holds no word vectors: build it with tools/build_label_graph.py --word-vectors FILE, or '
                'pass embeddings to LabelGraph'
            )
        vectors = torch.as_tensor(embeddings, dtype=torch.float32)
        if vectors.dim() != 2 or len(vectors) != len(graph.classes):
            raise ValueError(
                f'word vectors have shape {tuple(vectors.shape)}, but {source} has {len(graph.classes)} classes: one '
                'row for each class, in the same order'
            )
        self.classes = tuple(graph.classes)
        self.layer = layer
        self.out_channels = out_channels
        self.sparse = len(self.classes) > MAX_DENSE_LABELS if sparse is None else sparse

        edges = with_self_loops(torch.as_tensor(graph.edges(threshold)), len(self.classes))
        self.register_buffer('embeddings', vectors)
        self.register_buffer('edges', edges)
        self.register_buffer('edge_weight', edge_weights(edges, vectors, cosine=layer == 'weighted'))

        if hidden_channels is None:
            hidden_channels = (512, 1024) if layer == 'residual' else (1024,)
        widths = [vectors.size(1), *hidden_channels]
        self.layers = nn.ModuleList()
        for d_in, d_out in zip(widths, [*hidden_channels, out_channels], strict=True):
            self.layers.append(
                AttentionGraphConv(d_in, d_out, attention_hidden, negative_slope)
                if layer == 'attention'
                else GraphConv(d_in, d_out)
            )
        self.blocks = nn.ModuleList(
            ResidualGraphBlock(widths[-1], negative_slope) for _ in range(num_blocks if layer == 'residual' else 0)
        )
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self) -> Tensor:
        """Embeddings of all labels, ``(C, D)``."""
        x = self.embeddings  # (C, d)
        graph = (self.edges, self.sparse) if self.layer == 'attention' else (self.edges, self.edge_weight, self.sparse)
        for layer in self.layers[:-1]:
            x = self.act(layer(x, *graph))
        for block in self.blocks:
            x = block(x, *graph)
        return self.layers[-1](x, *graph)  # (C, D)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        saved = state_dict.get(f'{prefix}edges')
        vectors = state_dict.get(f'{prefix}embeddings')
        # Without this, mmengine's non-strict loading logs the difference and trains on with another graph.
        same_labels = vectors is not None and vectors.shape == self.embeddings.shape
        if saved is not None and same_labels and saved.shape != self.edges.shape:
            raise ValueError(
                f'the checkpoint was trained on a label graph of {saved.size(1)} edges (with self-loops), the '
                f'configured one has {self.edges.size(1)}: use the same graph file and threshold as in training'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def with_self_loops(edges: Tensor, num_nodes: int) -> Tensor:
    """``(2, E)`` edges plus one loop a node, without duplicates, sorted by row, then column."""
    loops = torch.arange(num_nodes).expand(2, -1)
    return torch.unique(torch.cat([edges, loops], dim=1), dim=1)


def edge_weights(edges: Tensor, vectors: Tensor, cosine: bool) -> Tensor:
    """Symmetrically normalised weights ``A_ij / √(d_i d_j)`` at the edges.

    Args:
        edges: ``(2, E)`` with self-loops.
        vectors: ``(C, d)`` word vectors.
        cosine: Replace the ones in ``A`` by cosine similarities. Negative ones become 0: a degree must stay positive.

    Returns:
        ``(E,)``
    """
    rows, cols = edges
    value = torch.ones(edges.size(1))
    if cosine:
        unit = F.normalize(vectors, dim=1)
        value = (unit[rows] * unit[cols]).sum(dim=1).clamp(min=0)  # (E,)
    degree = torch.zeros(len(vectors)).index_add(0, rows, value)
    # A zero word vector has cosine 0 with itself too: its row stays zero instead of dividing by zero.
    scale = degree.clamp(min=torch.finfo(torch.float32).eps).rsqrt()
    return value * scale[rows] * scale[cols]
