"""Label embeddings from word vectors and a graph of labels (Deep-LIFT, section III-B)."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models.layers import AttentionGraphConv, GraphConv, ResidualGraphBlock
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_choice

Layer = Literal['gcn', 'weighted', 'attention', 'residual']
# Below this many labels a dense (C, C) product is faster than a sparse one.
MAX_DENSE_LABELS = 1024


@MODELS.register_module()
class LabelGraph(BaseModule):
    """Maps the word vectors of ``C`` labels to embeddings that depend on related labels.

    `Deep-LIFT <https://doi.org/10.1109/TCYB.2021.3049630>`_ (Li et al. 2021), section III-B.

    | ``layer``       | aggregation over neighbours                                        | Deep-LIFT        |
    |-----------------|--------------------------------------------------------------------|------------------|
    | ``'gcn'``       | symmetrically normalised adjacency                                 | Eq. 2            |
    | ``'weighted'``  | the same, with cosine similarities of word vectors as entries      | Table III        |
    | ``'attention'`` | learned, softmax over neighbours                                   | Eq. 3 (AGCN)     |
    | ``'residual'``  | as ``'gcn'``, deeper, with identity shortcuts                      | Eq. 4 (RGCN)     |

    A LeakyReLU follows every layer except the last, because embeddings act as classifier weights and need both signs.
    Self-loops are always on. Word vectors, edges and edge weights are buffers, so a checkpoint holds the graph that it
    was trained on.

    Args:
        graph: Path of a file written by ``tools/build_label_graph.py``, or the data itself.
        embeddings: Word vectors ``(C, d)`` in the order of the graph's classes; None takes those in ``graph``.
        layer: Kind of the layers, see the table.
        hidden_channels: Widths between input and output. None gives those of the paper: ``(1024,)``, or
            ``(512, 1024)`` for ``'residual'``.
        out_channels: Width ``D`` of the embeddings.
        num_blocks: Number of residual blocks at the last hidden width, for ``layer='residual'`` only (Table VI).
        threshold: τ: there is an edge from label i to j if P(j | i) ≥ τ; None takes the threshold of the file.
        attention_hidden: Width of the MLP that scores pairs, for ``layer='attention'``; None scores with one vector a
            side.
        negative_slope: Slope of the LeakyReLUs.
        sparse: Compute along the edges instead of in ``(C, C)`` matrices; with None, the number of labels decides.
        init_cfg: Initialisation config of mmengine.

    Raises:
        ValueError: ``layer`` is unknown; there are no word vectors, or they do not match the graph's classes.

    Examples:
        >>> data = LabelGraphData.from_targets([[1, 1, 0], [0, 1, 1]], ['cat', 'dog', 'bird'], threshold=0.5)
        >>> graph = dict(graph=data, embeddings=torch.eye(3), hidden_channels=(4,), out_channels=8)
        >>> graph = MODELS.build(dict(type='mlic_mm.LabelGraph', **graph))
        >>> graph().shape
        torch.Size([3, 8])
    """

    embeddings: Tensor
    edges: Tensor
    edge_weight: Tensor

    def __init__(
        self,
        graph: str | PathLike | LabelGraphData,
        embeddings: np.ndarray | Tensor | None = None,
        layer: Layer = 'attention',
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
        check_choice('layer', layer, get_args(Layer))
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
                f'word vectors have shape {tuple(vectors.shape)}, but {source} has {len(graph.classes)} classes: give '
                'one row for each class, in the same order'
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
        """Return the embeddings of all labels, ``(C, D)``."""
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
        # Without this, mmengine's non-strict loading would log the difference and continue with another graph.
        same_labels = vectors is not None and vectors.shape == self.embeddings.shape
        if saved is not None and same_labels and saved.shape != self.edges.shape:
            raise ValueError(
                f'the checkpoint was trained on a label graph of {saved.size(1)} edges (with self-loops), the '
                f'configured one has {self.edges.size(1)}: use the same graph file and threshold as in training'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def with_self_loops(edges: Tensor, num_nodes: int) -> Tensor:
    """Return edges ``(2, E)`` with one loop a node, without duplicates, sorted by row, then column."""
    loops = torch.arange(num_nodes).expand(2, -1)
    return torch.unique(torch.cat([edges, loops], dim=1), dim=1)


def edge_weights(edges: Tensor, vectors: Tensor, cosine: bool) -> Tensor:
    """Return the symmetrically normalised weights ``A_ij / √(d_i d_j)`` at the edges.

    Args:
        edges: ``(2, E)`` with self-loops.
        vectors: Word vectors, ``(C, d)``.
        cosine: Replace the ones in ``A`` by cosine similarities. Negative ones become 0, because a degree must stay
            positive.

    Returns:
        ``(E,)``
    """
    rows, cols = edges
    value = torch.ones(edges.size(1))
    if cosine:
        unit = F.normalize(vectors, dim=1)
        value = (unit[rows] * unit[cols]).sum(dim=1).clamp(min=0)  # (E,)
    degree = torch.zeros(len(vectors)).index_add(0, rows, value)
    # A zero word vector has cosine 0 with itself too: its row stays zero, without a division by zero.
    scale = degree.clamp(min=torch.finfo(torch.float32).eps).rsqrt()
    return value * scale[rows] * scale[cols]
