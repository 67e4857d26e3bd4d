"""A region proposal network inside a classifier."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mlic_mm.models.heads.region_samples import objects_of, refuse_export
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import did_you_mean

from .named_parts import shown
from .objective import Feats, Objective, Step


@MODELS.register_module()
class RegionProposals(Objective):
    """A region proposal network, which is learnt beside the labels and gives its boxes to the head.

    `Spatial context <https://arxiv.org/abs/2111.12296>`_ (Zhang et al. 2021), Eq. 1, section 2.1. With an FPN as neck,
    the classifier has the structure and the parts of mmdet's two-stage detectors, so values of a Faster R-CNN's config
    can be copied. The region proposal network runs once an image, on the maps of the neck. Its boxes become
    ``proposals`` ``(R, 4)``, in pixels of the input, and ``proposal_scores`` ``(R,)`` of the sample. If nothing is
    proposed, the whole image is the only patch. :class:`~mlic_mm.models.heads.SpatialContextHead` and
    :class:`~mlic_mm.models.heads.WSDDNHead` look at the proposals, in tests too. So does a teacher that looks at
    regions.

    The losses are those of mmdet, ``cls`` and ``bbox``. With the name ``rpn`` in ``objectives``, they are logged as
    ``loss_rpn_cls`` and ``loss_rpn_bbox``, as in mmdet.

    Args:
        rpn_head: mmdet's ``RPNHead``; names in it need no prefix.
        train_cfg: ``rpn`` and ``rpn_proposal``, as in mmdet's two-stage detectors.
        test_cfg: ``rpn``, as in mmdet's two-stage detectors.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        ValueError: ``train_cfg`` or ``test_cfg`` has no ``rpn``, or unknown keys. Batch augments mix images, but cannot
            mix their boxes. In training: samples have no boxes of objects.
        TypeError: ``train_cfg`` or ``test_cfg`` is no dictionary.

    Examples:
        >>> from mmengine.registry import DefaultScope
        >>> rpn = dict(nms_pre=50, max_per_img=10, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
        >>> assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
        >>> sampler = dict(type='RandomSampler', num=16, pos_fraction=0.5)
        >>> train = dict(assigner=assigner, sampler=sampler, allowed_border=-1, pos_weight=-1)
        >>> anchors = dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8, 16, 32])
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelClassifier',
        ...         backbone=dict(
        ...             type='mmpretrain.ResNet',
        ...             depth=18,
        ...             stem_channels=8,
        ...             base_channels=8,
        ...             out_indices=(0, 1, 2, 3),
        ...         ),
        ...         neck=dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4),
        ...         head=dict(type='mlic_mm.SpatialContextHead', num_classes=3, in_channels=8, fc_channels=16),
        ...         objectives=dict(
        ...             rpn=dict(
        ...                 type='mlic_mm.RegionProposals',
        ...                 rpn_head=dict(type='RPNHead', in_channels=8, feat_channels=8, anchor_generator=anchors),
        ...                 train_cfg=dict(rpn=train),
        ...                 test_cfg=dict(rpn=rpn),
        ...             ),
        ...         ),
        ...     )
        ... )  # needs mmdet
        >>> model.eval()(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 3])
    """

    proposes = True

    def __init__(self, rpn_head: Mapping[str, Any], train_cfg: Mapping[str, Any], test_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        _check_cfg('train_cfg', train_cfg, ('rpn', 'rpn_proposal'))
        _check_cfg('test_cfg', test_cfg, ('rpn',))
        register_mmdet('RegionProposals')
        # In mmdet's scope, so that its own defaults are found.
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.rpn_head: Any = MODELS.build(
                ConfigDict(dict(rpn_head) | dict(train_cfg=train_cfg['rpn'], test_cfg=test_cfg['rpn']))
            )
        self.proposal_cfg = ConfigDict(train_cfg.get('rpn_proposal') or test_cfg['rpn'])

    def check(self, model: ImageClassifier) -> None:
        """See :class:`Objective`."""
        if getattr(model.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'batch augments mix images, but cannot mix the boxes that RegionProposals learns from: remove '
                'model.train_cfg.augments'
            )

    @torch.compiler.disable  # the number of boxes differs from image to image
    def propose(
        self, feats: Feats, samples: list[DataSample], learn: bool = False
    ) -> tuple[list[DataSample], dict[str, Tensor]]:
        """See :class:`Objective`."""
        refuse_export('RegionProposals')
        # Half precision would move the corners.
        maps = [[level.float() for level in levels] for levels in self.rpn_head(feats)]
        metas = [sample.metainfo for sample in samples]
        losses: dict[str, Tensor] = {}
        if learn and self.rpn_head.train_cfg is None:
            raise ValueError(
                'RegionProposals: train_cfg.rpn=None is for a model that is only tested: set it as in mmdet'
            )
        if learn:
            found = [objects_of(sample, 'RegionProposals', maps[0][0].device) for sample in samples]
            # A region proposal network knows one label, 0.
            objects = [InstanceData(bboxes=each.bboxes, labels=torch.zeros_like(each.labels)) for each, _ in found]
            listed = self.rpn_head.loss_by_feat(*maps, objects, metas, [ignored for _, ignored in found])
            for name, levels in listed.items():
                losses[name.removeprefix('loss_rpn_')] = torch.stack([level.mean() for level in levels]).sum()
        cfg = self.proposal_cfg if learn else None
        proposals = self.rpn_head.predict_by_feat(*maps, batch_img_metas=metas, cfg=cfg)
        return _with_proposals(samples, proposals), losses

    def compute_losses(self, step: Step) -> dict[str, Tensor]:
        """Return nothing, because :meth:`propose` has given the losses."""
        return {}


def _check_cfg(option: str, given: Any, known: Sequence[str]) -> None:
    """Refuse a part of a detector's config without ``rpn``, and with unknown keys."""
    if not isinstance(given, Mapping):
        raise TypeError(f'{option}={shown(given)} must be a dictionary: {option}=dict(rpn=dict(…)), as in mmdet')
    for key in given:
        if key == 'rcnn':  # copied from mmdet with the rest
            text = f'RegionProposals: {option}.rcnn is not used, because it belongs to {option} of the head'
            print_log(text, logger='current', level=logging.WARNING)
        elif key not in known:
            meant = did_you_mean(str(key), known, 1)
            raise ValueError(f'{option}=dict({key}=…) must have no keys but {" and ".join(known)}{meant}')
    if option == 'train_cfg' and 'rpn' in given and given['rpn'] is None:
        return  # a model that is only tested
    if not isinstance(given.get('rpn'), Mapping):
        raise ValueError(f'{option}=dict({", ".join(f"{key}=…" for key in given)}) must have the key rpn, as in mmdet')


def describe(inputs: Tensor, data_samples: Sequence[BaseDataElement] | None) -> list[DataSample]:
    """Return new samples of mmpretrain with the sizes that mmdet's parts need.

    Args:
        inputs: ``(N, 3, H, W)``; the samples get their size.
        data_samples: Samples of mmpretrain, or of mmdet's ``PackDetInputs``, which become samples of mmpretrain. By
            default, new ones.
    """
    height, width = inputs.shape[-2:]
    if data_samples is None:
        data_samples = [DataSample(metainfo=dict(ori_shape=(height, width))) for _ in inputs]
    samples = [_copied(sample) for sample in data_samples]
    for sample in samples:
        shape = sample.metainfo.get('img_shape', (height, width))
        sample.set_metainfo(dict(img_shape=shape, pad_shape=(height, width), batch_input_shape=(height, width)))
    return samples


def _copied(sample: BaseDataElement) -> DataSample:
    """Return a sample, possibly of mmdet, as one of mmpretrain, which takes any field."""
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
