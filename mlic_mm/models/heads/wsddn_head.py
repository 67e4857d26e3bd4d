"""Labels of images and of regions, learnt from the labels of images alone."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import InstanceData
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.models.necks import GlobalAveragePooling
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from mlic_mm.models.layers import feature_map, fuse_branches, image_logits, roi_pool
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_range, did_you_mean

from .region_samples import original_scale, proposals_of, refuse_export

Feats = tuple[Tensor, ...]
TEST_CFG = dict(boxes=False, iou_threshold=0.4, score_thr=1e-4, max_per_img=100)


class RegionLogits(NamedTuple):
    """Logits of N images with at most R regions.

    Attributes:
        cls: :math:`M^c`, ``(N, R, C)``; 0 for regions that an image lacks.
        det: :math:`M^d`, ``(N, R, C)``; −inf for regions that an image lacks.
        boxes: N tensors ``(R_n, 4)``, in pixels of the input.
    """

    cls: Tensor
    det: Tensor
    boxes: list[Tensor]


@MODELS.register_module()
class WSDDNHead(MultiLabelClsHead):
    r"""Weakly supervised detection, the teacher T-WDet of KD from WSD, section 3.1.

    `WSDDN <https://arxiv.org/abs/1511.02853>`_ (Bilen & Vedaldi 2016) as in
    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018). Regions of the last map of any
    backbone are pooled to 7 × 7 and multiplied by their prior score :math:`s_R` (Eq. 2). ``region_neck`` turns each
    region into a vector. Two linear layers classify the vectors: one has a softmax over labels, the other a softmax
    over regions. The sum over regions of the product is the probability :math:`p` of a label in the image. Use the head
    in a plain ``ImageClassifier`` without a neck, with samples of :class:`~mlic_mm.datasets.transforms.PackProposals`.

    The head's output is the logit of :math:`p`, so multi-label losses, metrics, ensembles and the inferencer treat it
    as any other logit. The loss is the binary cross-entropy of :math:`p` clamped to [ε, 1 − ε]. Its gradient is that of
    :math:`p` without the clamp; otherwise a label whose :math:`p` has fallen below ε would never be learnt.

    Args:
        num_classes: C, at least 2: the softmax over one label is 1 in every region.
        in_channels: Width of the vectors after ``region_neck``.
        stride: Pixels of the input per cell of the map: 16 for VGG's conv5_3, 32 for the last stage of most networks.
        roi_size: Number of parts along each side of a region.
        region_neck: Neck that turns a region's map into a vector: average pooling by default,
            ``dict(type='mlic_mm.VGGNeck')`` for fc6 and fc7.
        use_prior: Multiply by :math:`s_R`. Without it, only the order of the proposals matters.
        eps: ε, above 0 and below 0.5.
        loss: Config of a loss on logits.
        test_cfg: With ``boxes=True``, predictions also have ``pred_instances`` (boxes in pixels of the image's file,
            scores, labels), which mmdet's metrics evaluate: at most ``max_per_img=100`` with scores above
            ``score_thr=1e-4``, after NMS for each label at ``iou_threshold=0.4``. They also have ``regions``: the best
            regions of all labels together by :math:`s'`.
        **kwargs: Options of ``MultiLabelClsHead``: ``thr, topk, init_cfg``.

    Raises:
        ValueError: An option is out of range. When called: there are no samples, or they have no proposals.

    Examples:
        >>> from mmpretrain.structures import DataSample
        >>> head = MODELS.build(dict(type='mlic_mm.WSDDNHead', num_classes=3, in_channels=8, stride=32))
        >>> sample = DataSample()
        >>> sample.set_field(torch.tensor([[0.0, 0.0, 64.0, 64.0], [64.0, 0.0, 128.0, 64.0]]), 'proposals')
        >>> sample.set_field(torch.tensor([0.9, 0.5]), 'proposal_scores')
        >>> head((torch.rand(1, 8, 4, 4),), [sample]).shape
        torch.Size([1, 3])
    """

    loss_of_logits = True  # for MultiLabelClassifier: ``loss`` is the loss of what ``forward`` gives

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stride: int,
        roi_size: int = 7,
        region_neck: dict | nn.Module | None = None,
        use_prior: bool = True,
        eps: float = 1e-6,
        loss: dict | None = None,
        test_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('init_cfg', dict(type='Normal', layer='Linear', std=0.01))
        super().__init__(loss=loss or dict(type='mlic_mm.MultiLabelBCELoss'), **kwargs)
        leave_out_unknown(self)
        check_range('num_classes', num_classes, at_least=2, whole=True)
        for name, value in dict(in_channels=in_channels, stride=stride, roi_size=roi_size).items():
            check_range(name, value, at_least=1, whole=True)
        check_range('eps', eps, above=0, below=0.5)
        self.test_cfg = TEST_CFG | (test_cfg or {})
        for name in self.test_cfg:
            if name not in TEST_CFG:
                raise ValueError(f'test_cfg={test_cfg} has no option {name!r}{did_you_mean(name, TEST_CFG)}')
        self.num_classes = num_classes
        self.stride = stride
        self.roi_size = roi_size
        self.use_prior = use_prior
        self.eps = eps
        region_neck = region_neck or dict(type='mmpretrain.GlobalAveragePooling')
        self.region_neck: Any = MODELS.build(region_neck) if isinstance(region_neck, dict) else region_neck
        pooling = isinstance(self.region_neck, GlobalAveragePooling)
        self.map_channels: int | None = in_channels if pooling else getattr(self.region_neck, 'in_channels', None)
        self.fc_cls = nn.Linear(in_channels, num_classes)
        self.fc_det = nn.Linear(in_channels, num_classes)

    def forward(self, feats: Feats, data_samples: Sequence[DataSample] | None = None) -> Tensor:
        """Return the logits of the image probabilities, ``(N, C)``."""
        return self.image_logits(self.region_logits(feats, data_samples))

    def region_logits(self, feats: Feats, data_samples: Sequence[DataSample] | None) -> RegionLogits:
        """Return the logits of both branches for every region.

        Args:
            feats: Stages of the backbone, the last one ``(N, D, h, w)``.
            data_samples: With ``proposals`` ``(R_n, 4)`` in pixels of the input and ``proposal_scores`` ``(R_n,)``.

        Raises:
            ValueError: There are no samples, or one has no proposals.
        """
        refuse_export('WSDDNHead', onnx_only=True)
        maps = feature_map(feats, self.map_channels, 'WSDDNHead')
        boxes, priors = proposals_of(data_samples, maps.device, 'WSDDNHead')
        counts = [len(box) for box in boxes]
        self._check_stride(maps, data_samples or [])
        regions = roi_pool(maps, [box / self.stride for box in boxes], self.roi_size)  # (ΣR, D, 7, 7)
        if self.use_prior:
            regions = regions * torch.cat(priors).to(regions.dtype)[:, None, None, None]
        vectors = self.region_neck((regions,))[-1]  # (ΣR, F)
        cls, det = self.fc_cls(vectors).float(), self.fc_det(vectors).float()  # (ΣR, C)
        if len(set(counts)) == 1:
            shape = (len(counts), counts[0], self.num_classes)
            return RegionLogits(cls.view(shape), det.view(shape), boxes)
        return RegionLogits(
            nn.utils.rnn.pad_sequence(cls.split(counts), batch_first=True),
            nn.utils.rnn.pad_sequence(det.split(counts), batch_first=True, padding_value=-torch.inf),
            boxes,
        )

    def _check_stride(self, maps: Tensor, data_samples: Sequence[DataSample]) -> None:
        # Regions beyond the map would silently be those at its edge.
        for sample in data_samples:
            shape = sample.metainfo.get('img_shape')
            if shape and (shape[0] > (maps.size(2) + 1) * self.stride or shape[1] > (maps.size(3) + 1) * self.stride):
                raise ValueError(
                    f'WSDDNHead: stride={self.stride} must be the stride of the last map of the backbone: images of '
                    f'{shape[1]} × {shape[0]} pixels have maps of {maps.size(3)} × {maps.size(2)} cells'
                )

    def image_logits(self, regions: RegionLogits) -> Tensor:
        """Return the logits of the probabilities in images, the sums over their regions, ``(N, C)``."""
        return image_logits(regions.cls, regions.det)

    def loss(self, feats: Feats, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Return ``loss``, the cross-entropy of the clamped image probabilities."""
        return self._get_loss(self(feats, data_samples), data_samples, **kwargs)

    def _get_loss(self, cls_score: Tensor, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        bound = math.log((1 - self.eps) / self.eps)
        # The gradient ignores the clamp.
        clamped = cls_score.detach().clamp(-bound, bound) + (cls_score - cls_score.detach())
        return super()._get_loss(clamped, data_samples, **kwargs)

    def predict(self, feats: Feats, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Predict the labels of images, and with ``test_cfg=dict(boxes=True)`` those of regions."""
        regions = self.region_logits(feats, data_samples)
        samples = self._get_predictions(self.image_logits(regions), data_samples)
        if self.test_cfg['boxes']:
            scores = fuse_branches(regions.cls, regions.det)  # (N, R, C)
            for sample, boxes, score in zip(samples, regions.boxes, scores, strict=True):
                self._add_boxes(sample, boxes, score[: len(boxes)])
        return samples

    def _add_boxes(self, sample: DataSample, boxes: Tensor, scores: Tensor) -> None:
        iou, most = self.test_cfg['iou_threshold'], self.test_cfg['max_per_img']
        boxes = boxes * original_scale(sample, boxes, 'WSDDNHead')
        objectness = scores.sum(1)
        best = nms(boxes, objectness, iou)[:most]
        sample.set_field(InstanceData(bboxes=boxes[best], scores=objectness[best]), 'regions')
        rows, labels = (scores > self.test_cfg['score_thr']).nonzero(as_tuple=True)
        found = scores[rows, labels]
        kept = batched_nms(boxes[rows], found, labels, iou)[:most]
        sample.set_field(
            InstanceData(bboxes=boxes[rows[kept]], scores=found[kept], labels=labels[kept]), 'pred_instances'
        )
