"""Head of Deep-LIFT: one map per label, which is gated, pooled and classified."""

import warnings
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import MultiLabelClsHead
from torch import Tensor, nn

from mlic_mm.models.layers import ChannelAttention, Pooling, feature_map
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_choice

Feats = tuple[Tensor, ...] | Tensor
Pooled = Pooling | Literal['none']
POOLED = ('none', *get_args(Pooling))


class DeepLIFTMaps(NamedTuple):
    """Maps of a batch, each ``(N, C, H, W)``: before channel attention (Eq. 5) and after it (Eq. 7)."""

    lift: Tensor
    attended: Tensor


@MODELS.register_module()
class DeepLIFTHead(MultiLabelClsHead):
    r"""Deep label-specific features.

    `Deep-LIFT <https://doi.org/10.1109/TCYB.2021.3049630>`_ (Li et al. 2021), sections III-C to III-E. The map of label
    c is the inner product of its embedding and the image feature at every place, :math:`A = L F` (Eq. 5). Channel
    attention gates the maps (Eq. 6, 7). An MLP with one hidden layer classifies their averages and maxima.

    Paper: ``A`` enters attention and MLP as it is. Here: maps are batch-normalised (``normalize_maps``), and the pooled
    maps are added to the MLP's output, which starts at zero (``residual``). Training then starts from a classifier that
    is linear over the feature map. The literal form trains badly (``docs/results.md``). Both can be switched off.

    Paper: ``L`` is multiplied with ``F`` directly. Here: a learnable ``D × D`` projection maps ``L`` first
    (``projection``), because the stated 51.51 M parameters are reached only with it.

    In evaluation without gradients, the head computes ``L`` once and keeps it until a weight, the mode or the device
    changes. A trace holds ``L`` as a constant. :func:`constant_labels` makes it a constant for every exporter.

    Args:
        num_classes: ``C``.
        in_channels: ``D``, channels of the backbone's last map.
        label_graph: Config of :class:`LabelGraph`, whose ``out_channels`` defaults to ``in_channels``, or a module
            whose call gives ``(C, D)``.
        projection: Use the projection, see above.
        channel_attention: How the maps are pooled for channel attention (Table IV). ``'none'`` switches it off.
        attention_channels: Width of the attention MLP's hidden layer.
        hidden_channels: Width of the classifier MLP's hidden layer; None is ``C``.
        normalize_maps: Use batch normalisation, see above.
        residual: Pooled maps that are added to the MLP's output. A backbone that is trained from scratch learns faster
            with ``'avg'``, because its gradient reaches every place.
        loss: Config of the loss; None is :class:`MultiLabelBCELoss` (Eq. 8).
        thr: Labels with scores from ``thr`` on are predicted; see :class:`mmpretrain.models.heads.MultiLabelClsHead`.
        topk: The ``topk`` labels with the highest scores are predicted, see the same class.
        init_cfg: Initialisation config of mmengine.

    Raises:
        ValueError: The sizes of head, label graph and feature map disagree; ``channel_attention`` or ``residual`` is
            unknown.

    Examples:
        >>> from mlic_mm.label_graphs.data import LabelGraphData
        >>> graph = LabelGraphData.from_targets([[1, 1, 0], [0, 1, 1]], ['cat', 'dog', 'bird'], threshold=0.5)
        >>> head = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.DeepLIFTHead',
        ...         num_classes=3,
        ...         in_channels=8,
        ...         label_graph=dict(graph=graph, embeddings=torch.eye(3), hidden_channels=(4,)),
        ...     )
        ... )
        >>> logits, maps = head.forward_with_maps((torch.rand(2, 8, 7, 7),))
        >>> logits.shape, maps.shape
        (torch.Size([2, 3]), torch.Size([2, 3, 7, 7]))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        label_graph: dict | nn.Module,
        projection: bool = True,
        channel_attention: Pooled = 'both',
        attention_channels: int = 16,
        hidden_channels: int | None = None,
        normalize_maps: bool = True,
        residual: Pooled = 'both',
        loss: dict | nn.Module | None = None,
        thr: float | None = None,
        topk: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(loss=loss or dict(type='mlic_mm.MultiLabelBCELoss'), thr=thr, topk=topk, init_cfg=init_cfg)
        leave_out_unknown(self)
        self.num_classes = num_classes
        self.in_channels = in_channels
        check_choice('residual', residual, POOLED)
        check_choice('channel_attention', channel_attention, POOLED)
        self.residual = residual
        self.label_graph: nn.Module = (
            label_graph
            if isinstance(label_graph, nn.Module)
            else MODELS.build({'type': 'mlic_mm.LabelGraph', 'out_channels': in_channels, **label_graph})
        )
        self._check_sizes()

        self.projection = nn.Linear(in_channels, in_channels, bias=False) if projection else nn.Identity()
        self.norm = nn.BatchNorm2d(num_classes) if normalize_maps else nn.Identity()
        self.channel_attention = (
            nn.Identity()
            if channel_attention == 'none'
            else ChannelAttention(num_classes, channel_attention, attention_channels)
        )
        hidden = hidden_channels or num_classes
        out = nn.Linear(hidden, num_classes)
        if residual != 'none':
            # The head starts as the pooled maps alone; the MLP learns the rest.
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)
        self.mlp = nn.Sequential(nn.Linear(2 * num_classes, hidden), nn.ReLU(inplace=True), out)
        self._cache: tuple[object, Tensor, Tensor] | None = None

    def _check_sizes(self) -> None:
        classes = getattr(self.label_graph, 'classes', None)
        if classes is not None and len(classes) != self.num_classes:
            raise ValueError(
                f'num_classes={self.num_classes} must be the number of classes of the label graph, {len(classes)} '
                f'({classes[0]!r} … {classes[-1]!r}): set num_classes, or build the graph from this data set with '
                'tools/build_label_graph.py'
            )
        width = getattr(self.label_graph, 'out_channels', self.in_channels)
        if width != self.in_channels:
            raise ValueError(
                f'in_channels={self.in_channels} must be the width of the embeddings that the label graph gives, '
                f'{width}: set out_channels of the label graph'
            )

    def label_embeddings(self) -> Tensor:
        """Return ``L`` after the projection, ``(C, D)``; it is kept between calls in evaluation without gradients."""
        if torch.jit.is_tracing() and not self.training:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', torch.jit.TracerWarning)  # a constant is wanted here
                embeddings = self.projection(self.label_graph()).detach()
                numbers = embeddings.double().cpu().numpy()  # NumPy has no bfloat16
            return torch.from_numpy(numbers).to(embeddings.device, embeddings.dtype)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.projection(self.label_graph())
        source = [
            *self.label_graph.parameters(),
            *self.label_graph.buffers(),
            *self.projection.parameters(),
        ]
        # Versions count writes that autograd sees; sums show writes through ``.data``, as EMA hooks make them.
        versions = tuple((t.data_ptr(), t._version, t.dtype, torch.is_autocast_enabled(t.device.type)) for t in source)
        sums = torch.stack([t.sum(dtype=torch.float32) for t in source])
        if self._cache is None or self._cache[0] != versions or not torch.equal(self._cache[1], sums):
            self._cache = (versions, sums, self.projection(self.label_graph()))
        return self._cache[2]

    def train(self, mode: bool = True) -> 'DeepLIFTHead':
        """Set the mode as in torch, and forget the kept embeddings."""
        self._cache = None
        return super().train(mode)

    def maps(self, feats: Feats) -> DeepLIFTMaps:
        """Return the label-specific maps of the last feature map.

        Args:
            feats: Stages of the backbone, or the last one alone: ``(N, D, H, W)``, or ``(N, H, W, D)`` as timm's Swin
                gives it.

        Raises:
            ValueError: The last stage is no map of ``in_channels`` channels.
        """
        feat = feature_map(feats, self.in_channels, 'DeepLIFTHead')
        kernel = self.label_embeddings()[:, :, None, None]  # (C, D, 1, 1)
        lift = self.norm(F.conv2d(feat, kernel.to(feat.dtype)))  # (N, C, H, W)
        return DeepLIFTMaps(lift, self.attend(lift))

    def attend(self, lift: Tensor) -> Tensor:
        """Return the maps ``(N, C, H, W)`` after channel attention (Eq. 6, 7)."""
        return self.channel_attention(lift)

    def logits(self, attended: Tensor) -> Tensor:
        """Return the logits ``(N, C)`` of attended maps ``(N, C, H, W)``."""
        mean, peak = attended.mean(dim=(2, 3)), attended.amax(dim=(2, 3))  # (N, C) each
        score = self.mlp(torch.cat([mean, peak], dim=1))  # (N, C)
        if self.residual in ('avg', 'both'):
            score = score + mean
        if self.residual in ('max', 'both'):
            score = score + peak
        return score

    def forward_with_maps(self, feats: Feats) -> tuple[Tensor, Tensor]:
        """Return the logits ``(N, C)`` and the attended maps ``(N, C, H, W)`` that they come from."""
        attended = self.pre_logits(feats)
        return self.logits(attended), attended

    def pre_logits(self, feats: Feats) -> Tensor:
        """Return the attended maps ``(N, C, H, W)``."""
        return self.maps(feats).attended

    def forward(self, feats: Feats) -> Tensor:
        """Return the logits ``(N, C)`` of the backbone's stages."""
        return self.forward_with_maps(feats)[0]
