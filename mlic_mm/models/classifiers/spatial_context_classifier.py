"""Labels of the patches that a region proposal network proposes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.heads.region_samples import objects_of, refuse_export
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS

Feats = tuple[Tensor, ...]


@MODELS.register_module()
class SpatialContextClassifier(ImageClassifier):
    """The spatial-context-aware network: backbone, FPN, one set of proposals, labels of patches.

    `Spatial context <https://arxiv.org/abs/2111.12296>`_ (Zhang et al. 2021), Eq. 1, section 2.1. The network has the
    structure and the parts of mmdet's two-stage detectors, so values of a Faster R-CNN's config can be copied. The
    region proposal network runs once an image. Its boxes become ``proposals`` ``(R, 4)``, in pixels of the input, and
    ``proposal_scores`` ``(R,)`` of the sample, for the head: usually :class:`~mlic_mm.models.heads.SpatialContextHead`,
    or any other head of proposals. If nothing is proposed, the whole image is the only patch.

    The losses of the region proposal network (``loss_rpn_cls``, ``loss_rpn_bbox``) are added to those of the head.

    Args:
        backbone: A backbone with maps of several strides.
        neck: mmdet's ``FPN``, written ``mmdet.FPN``, or another neck of several maps.
        rpn_head: mmdet's ``RPNHead``; names in it need no prefix.
        head: A head of proposals.
        train_cfg: ``rpn``, ``rpn_proposal`` and ``rcnn`` as in mmdet's two-stage detectors; ``rcnn`` is the head's
            ``train_cfg``.
        test_cfg: ``rpn`` and ``rcnn`` as in mmdet's two-stage detectors; ``rcnn`` is the head's ``test_cfg``.
        data_preprocessor: As for ``ImageClassifier``.
        init_cfg: As for ``ImageClassifier``.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        ValueError: In training: samples have no boxes of objects.

    Examples:
        >>> from mmengine.registry import DefaultScope
        >>> rpn = dict(nms_pre=50, max_per_img=10, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
        >>> assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
        >>> sampler = dict(type='RandomSampler', num=16, pos_fraction=0.5)
        >>> anchors = dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32])
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.SpatialContextClassifier',
        ...         backbone=dict(
        ...             type='mmpretrain.ResNet',
        ...             depth=18,
        ...             stem_channels=8,
        ...             base_channels=8,
        ...             out_indices=(0, 1, 2, 3),
        ...         ),
        ...         neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4),
        ...         rpn_head=dict(type='RPNHead', in_channels=8, feat_channels=8, anchor_generator=anchors),
        ...         head=dict(type='mlic_mm.SpatialContextHead', num_classes=3, in_channels=8, fc_channels=16),
        ...         train_cfg=dict(rpn=dict(assigner=assigner, sampler=sampler, allowed_border=-1, pos_weight=-1)),
        ...         test_cfg=dict(rpn=rpn),
        ...     )
        ... )  # needs mmdet
        >>> model.eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        neck: dict | nn.Module,
        rpn_head: Mapping[str, Any],
        head: dict | nn.Module,
        train_cfg: Mapping[str, Any],
        test_cfg: Mapping[str, Any],
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        register_mmdet('SpatialContextClassifier')
        if isinstance(head, dict):
            rcnn = dict(train_cfg=train_cfg.get('rcnn'), test_cfg=test_cfg.get('rcnn'))
            head = {name: value for name, value in rcnn.items() if value is not None} | dict(head)
        super().__init__(backbone, neck=neck, head=head, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        # In mmdet's scope, so that its own defaults are found.
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.rpn_head: Any = MODELS.build(
                ConfigDict(dict(rpn_head) | dict(train_cfg=train_cfg['rpn'], test_cfg=test_cfg['rpn']))
            )
        self.proposal_cfg = ConfigDict(train_cfg.get('rpn_proposal', test_cfg['rpn']))

    def forward(self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor') -> Any:
        """Run as ``ImageClassifier``; ``mode='tensor'`` gives the logits ``(N, C)`` of the images."""
        if mode != 'tensor':
            return super().forward(inputs, data_samples, mode)
        feats = self.extract_feat(inputs)
        return self.head(feats, self.propose(feats, inputs, data_samples))

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Any]:
        """Return the losses of the proposals and of the head."""
        feats = self.extract_feat(inputs)
        samples = _described(inputs, data_samples)
        found = [objects_of(sample, type(self).__name__) for sample in samples]
        # A region proposal network knows one label, 0.
        objects = [InstanceData(bboxes=each.bboxes, labels=torch.zeros_like(each.labels)) for each, _ in found]
        maps = self._rpn_maps(feats)
        metas = [sample.metainfo for sample in samples]
        losses = self.rpn_head.loss_by_feat(*maps, objects, metas, [ignored for _, ignored in found])
        proposals = self.rpn_head.predict_by_feat(*maps, batch_img_metas=metas, cfg=self.proposal_cfg)
        return losses | self.head.loss(feats, _with_proposals(samples, proposals))

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs: Any) -> list[DataSample]:
        """Predict labels and boxes, see the head."""
        feats = self.extract_feat(inputs)
        return self.head.predict(feats, self.propose(feats, inputs, data_samples), **kwargs)

    def propose(self, feats: Feats, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Return the samples with their proposals.

        Args:
            feats: Maps of the neck.
            inputs: ``(N, 3, H, W)``; the samples get their size.
            data_samples: Samples of mmpretrain, or of mmdet's ``PackDetInputs``, which become samples of mmpretrain. By
                default, new ones.
        """
        refuse_export(type(self).__name__)
        samples = _described(inputs, data_samples)
        metas = [sample.metainfo for sample in samples]
        return _with_proposals(samples, self.rpn_head.predict_by_feat(*self._rpn_maps(feats), batch_img_metas=metas))

    def _rpn_maps(self, feats: Feats) -> list[list[Tensor]]:
        # Half precision would move the corners.
        return [[level.float() for level in maps] for maps in self.rpn_head(feats)]


def _described(inputs: Tensor, data_samples: Sequence[DataSample] | None) -> list[DataSample]:
    """Return samples of mmpretrain with the sizes that mmdet needs."""
    height, width = inputs.shape[-2:]
    if data_samples is None:
        data_samples = [DataSample(metainfo=dict(ori_shape=(height, width))) for _ in inputs]
    samples = [sample if isinstance(sample, DataSample) else _converted(sample) for sample in data_samples]
    for sample in samples:
        shape = sample.metainfo.get('img_shape', (height, width))
        sample.set_metainfo(dict(img_shape=shape, pad_shape=(height, width), batch_input_shape=(height, width)))
    return samples


def _converted(sample: BaseDataElement) -> DataSample:
    """Return mmdet's sample as one of mmpretrain, which takes any field."""
    made = DataSample(metainfo=sample.metainfo)
    for name, value in sample.items():
        made.set_field(value, name)
    return made


def _with_proposals(samples: list[DataSample], found: list[InstanceData]) -> list[DataSample]:
    for sample, boxes in zip(samples, found, strict=True):
        box, score = boxes.bboxes.detach(), boxes.scores.detach()
        if not len(box):
            height, width = sample.metainfo['img_shape'][:2]
            box, score = box.new_tensor([[0, 0, width, height]]), score.new_zeros(1)
        sample.set_field(box, 'proposals')
        sample.set_field(score, 'proposal_scores')
    return samples
