"""Labels of objects and of what surrounds them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from mlic_mm.models.layers import FUSIONS, ContextExpand, fuse_logits
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS, TASK_UTILS

from .patch_targets import BRANCHES, patch_targets
from .region_samples import objects_of, original_scale, proposals_of, refuse_export

Feats = tuple[Tensor, ...]
BOX_CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
ROI_EXTRACTOR = dict(
    type='SingleRoIExtractor',
    # Four samples a cell and torchvision's kernel, the faster one on CPUs, since patches are pooled twice.
    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2, use_torchvision=True),
    featmap_strides=[4, 8, 16, 32],
)
TRAIN_CFG = dict(
    assigner=dict(
        type='MaxIoUAssigner',
        pos_iou_thr=0.5,
        neg_iou_thr=0.5,
        min_pos_iou=0.5,
        match_low_quality=False,
        ignore_iof_thr=-1,
    ),
    sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, add_gt_as_proposals=True),
    pos_weight=-1,
)
TEST_CFG = dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)


@MODELS.register_module()
class SpatialContextHead(MultiLabelClsHead):
    r"""The four patch processors of the spatial-context-aware network (section 2.4) on the maps of an FPN.

    Of each proposal the object branch pools the features of its box, and two layers make them a vector, of which one
    linear layer each regresses the location, tells whether there is an object and scores the C labels. The context
    branch does the same with the box grown by ``context``, for labels only. In training proposals are assigned to
    objects and sampled as in mmdet's Faster R-CNN, whose parts do the work; the losses are Eq. 6,
    :math:`L = L_r + \alpha L_p + \beta L_l^O + \gamma L_l^C`:

    - ``loss_bbox``, :math:`L_r`: smooth L1 (Eq. 2, 3), one box for all labels;
    - ``loss_patch``, :math:`\alpha L_p`: cross-entropy (Eq. 4) of object and background. The sign of the paper's second
      term is mended;
    - ``loss_object``, ``loss_context``: binary cross-entropy summed over labels, averaged over patches (Eq. 5), with
      the weight σ. Paper: σ stands within the logarithm. Here: before it, as a weight.

    The fused probability of a label in a patch is that of both branches, :math:`p` of the image its maximum over
    patches; the head's output is the logit of :math:`p`.

    In an ``ImageClassifier`` it takes any proposals, in a
    :class:`~mlic_mm.models.classifiers.SpatialContextClassifier` those of a region proposal network.

    Args:
        num_classes: C.
        in_channels: Width of the maps.
        fc_channels: Width of the vectors.
        roi_extractor: What differs from mmdet's ``SingleRoIExtractor`` of Faster R-CNN with torchvision's kernel.
        box_head: What differs from mmdet's ``BBoxHead``: ``bbox_coder, loss_bbox, loss_cls``.
        context: Config of the patch expansion.
        branches: Those that predict labels: ``('object', 'context')`` or one of them.
        fusion: ``'mean'``, ``'max'`` or ``'product'`` of the branches' probabilities.
        target: ``'patch'``: labels of the objects that a patch matches (object branch: with the IoU of the assigner)
            or holds (context branch: at least half of them). ``'image'``: those of the image in every patch, the
            literal reading of :math:`y^*`. Difficult objects and crowds leave their labels open.
        alpha: :math:`\alpha`.
        beta: :math:`\beta`.
        gamma: :math:`\gamma`.
        sigma: σ.
        train_cfg: ``assigner`` and ``sampler``, as ``rcnn`` in mmdet's ``train_cfg``.
        test_cfg: ``score_thr``, ``nms`` and ``max_per_img`` of the boxes, as ``rcnn`` in mmdet's ``test_cfg``.
        **kwargs: Of ``MultiLabelClsHead``: ``thr, topk, init_cfg``.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        ValueError: An option out of range; samples without proposals or, in training, without objects' boxes.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 256,
        fc_channels: int = 1024,
        roi_extractor: Mapping[str, Any] | None = None,
        box_head: Mapping[str, Any] | None = None,
        context: dict | ContextExpand | None = None,
        branches: Sequence[str] = BRANCHES,
        fusion: str = 'mean',
        target: str = 'patch',
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        sigma: float = 0.5,
        train_cfg: Mapping[str, Any] | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss=dict(type='mlic_mm.MultiLabelBCELoss', loss_weight=sigma), **kwargs)
        if not branches or isinstance(branches, str) or set(branches) - set(BRANCHES):
            raise ValueError(f'SpatialContextHead: branches={branches!r} must be a list of {" and ".join(BRANCHES)}')
        if fusion not in FUSIONS:
            raise ValueError(f'SpatialContextHead: fusion={fusion!r} must be one of {", ".join(FUSIONS)}')
        if target not in ('patch', 'image'):
            raise ValueError(f"SpatialContextHead: target={target!r} must be 'patch' or 'image'")
        for name, value in dict(alpha=alpha, beta=beta, gamma=gamma, sigma=sigma).items():
            if not value >= 0:
                raise ValueError(f'SpatialContextHead: {name}={value} must not be negative')
        register_mmdet('SpatialContextHead')
        self.num_classes = num_classes
        self.branches = tuple(name for name in BRANCHES if name in branches)
        self.fusion = fusion
        self.target = target
        self.weights = dict(object=beta, context=gamma)
        context = context or dict(type='mlic_mm.ContextExpand')
        self.context: Any = TASK_UTILS.build(context) if isinstance(context, dict) else context
        self.train_cfg = ConfigDict(TRAIN_CFG | dict(train_cfg or {}))
        self.test_cfg = ConfigDict(TEST_CFG | dict(test_cfg or {}))
        losses = dict(
            loss_cls=dict(type='CrossEntropyLoss', loss_weight=alpha), loss_bbox=dict(type='SmoothL1Loss', beta=1.0)
        )
        # Names without a prefix are mmdet's here, its own defaults too.
        with DefaultScope.overwrite_default_scope('mmdet'):
            extractor = ROI_EXTRACTOR | dict(out_channels=in_channels) | dict(roi_extractor or {})
            self.roi_extractor: Any = MODELS.build(extractor)
            self.box_head: Any = MODELS.build(
                dict(type='BBoxHead', bbox_coder=BOX_CODER)
                | losses
                | dict(box_head or {})
                | dict(num_classes=1, reg_class_agnostic=True, roi_feat_size=1, in_channels=fc_channels)
            )
            self.assigner = TASK_UTILS.build(self.train_cfg['assigner'])
            self.sampler = TASK_UTILS.build(self.train_cfg['sampler'])
        side = self.roi_extractor.roi_layers[0].output_size
        width = in_channels * side[0] * side[1]
        self.trunks = nn.ModuleDict(
            # Without the object branch's labels its vector is still what boxes and objectness are told from.
            {name: TwoMLPHead(width, fc_channels) for name in ('object', *self.branches)}
        )
        self.fc_labels = nn.ModuleDict({name: nn.Linear(fc_channels, num_classes) for name in self.branches})

    def forward(self, feats: Feats, data_samples: Sequence[DataSample] | None = None) -> Tensor:
        """Return the logits of the image probabilities, ``(N, C)``."""
        boxes, _ = proposals_of(data_samples, feats[0].device, type(self).__name__)
        vectors = self._vectors(feats, boxes, data_samples or [])
        return self._image_logits(self._label_logits(vectors), boxes)

    def _vectors(self, feats: Feats, boxes: list[Tensor], samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Return the vectors ``(ΣR, F)`` of N lists of patches by branch."""
        from mmdet.structures.bbox import bbox2roi

        refuse_export(type(self).__name__)
        # Half precision would move the corners, and mmcv's RoIAlign takes any memory for (N, D, h, w) without a word.
        maps = [feat.float().contiguous() for feat in feats[: self.roi_extractor.num_inputs]]
        vectors = {}
        for name, trunk in self.trunks.items():
            if name == 'context':
                boxes = [self.context(box, _shape(sample)) for box, sample in zip(boxes, samples, strict=True)]
            vectors[name] = trunk(self.roi_extractor(maps, bbox2roi(boxes)))
        return vectors

    def _label_logits(self, vectors: dict[str, Tensor]) -> Tensor:
        """Return ``(B, ΣR, C)`` of the B branches."""
        return torch.stack([fc(vectors[name]).float() for name, fc in self.fc_labels.items()])

    def _image_logits(self, logits: Tensor, boxes: list[Tensor]) -> Tensor:
        """Return ``(N, C)``."""
        fused = fuse_logits(logits, self.fusion)  # (ΣR, C)
        return torch.stack([patches.amax(0) for patches in fused.split([len(box) for box in boxes])])

    def loss(self, feats: Feats, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Return the losses of Eq. 6.

        Args:
            feats: Maps of the FPN, the finest first.
            data_samples: With ``proposals``, ``gt_instances`` in pixels of the input and, where there are any,
                ``ignored_instances``; for ``target='image'`` with ``gt_score``.
            **kwargs: Of the loss of the labels.
        """
        from mmdet.structures.bbox import bbox2roi

        proposals, _ = proposals_of(data_samples, feats[0].device, type(self).__name__)
        objects = [objects_of(sample, type(self).__name__) for sample in data_samples]
        sampled = [self._sample(box, *found) for box, found in zip(proposals, objects, strict=True)]
        boxes = [result.priors for result in sampled]
        vectors = self._vectors(feats, boxes, data_samples)
        scores, deltas = self.box_head(vectors['object'])
        found = self.box_head.loss_and_target(scores.float(), deltas.float(), bbox2roi(boxes), sampled, self.train_cfg)[
            'loss_bbox'
        ]
        losses = dict(loss_bbox=found['loss_bbox'], loss_patch=found['loss_cls'])
        for name, logits in zip(self.branches, self._label_logits(vectors), strict=True):
            target = torch.cat(
                [self._targets(name, *each) for each in zip(boxes, sampled, objects, data_samples, strict=True)]
            )  # (ΣP, C)
            losses[f'loss_{name}'] = self.weights[name] * self.loss_module(
                logits, target, avg_factor=max(len(logits), 1), **kwargs
            )
        return losses

    def _sample(self, boxes: Tensor, objects: InstanceData, ignored: InstanceData) -> Any:
        """Assign proposals to objects of whatever label, and return mmdet's ``SamplingResult``."""
        patches = InstanceData(priors=boxes)
        unlabelled = InstanceData(bboxes=objects.bboxes, labels=torch.zeros_like(objects.labels))
        assigned = self.assigner.assign(patches, unlabelled, ignored)
        return self.sampler.sample(assigned, patches, unlabelled)

    def _targets(
        self, branch: str, boxes: Tensor, sampled: Any, objects: tuple[InstanceData, InstanceData], sample: DataSample
    ) -> Tensor:
        """Return the targets ``(P, C)`` of the sampled patches of an image."""
        if self.target == 'image':
            if 'gt_score' not in sample:
                raise ValueError(
                    "SpatialContextHead: target='image' needs gt_score, which samples lack: set num_classes of the "
                    'data_preprocessor, or load labels with a data set of mlic_mm'
                )
            return sample.gt_score.to(boxes).expand(len(boxes), -1)
        if branch == 'context':
            return patch_targets(self.context(boxes, _shape(sample)), *objects, self.num_classes)
        target = patch_targets(boxes, *objects, self.num_classes, getattr(self.assigner, 'pos_iou_thr', 0.5))
        rows = torch.arange(len(sampled.pos_priors), device=boxes.device)  # positives come first
        target[rows, objects[0].labels[sampled.pos_assigned_gt_inds]] = 1
        return target

    def predict(self, feats: Feats, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Predict the labels of images, and boxes with labels.

        Boxes are the patches moved by the location regressor, in pixels of the image's file. Each scores the product of
        its patch's objectness and the fused probability of the label, of which ``object_scores`` and
        ``context_scores`` tell what either branch gives.
        """
        proposals, _ = proposals_of(data_samples, feats[0].device, type(self).__name__)
        data_samples = data_samples or []
        vectors = self._vectors(feats, proposals, data_samples)
        logits = self._label_logits(vectors)
        samples = self._get_predictions(self._image_logits(logits, proposals), data_samples)
        scores, deltas = self.box_head(vectors['object'])
        objectness = scores.float().softmax(-1)[:, 0]  # (ΣR,)
        fused = fuse_logits(logits, self.fusion).sigmoid() * objectness[:, None]
        alone = logits.sigmoid()
        start = 0
        for sample, boxes in zip(samples, proposals, strict=True):
            part = slice(start, start := start + len(boxes))
            moved = self.box_head.bbox_coder.decode(boxes, deltas[part].float(), max_shape=_shape(sample))
            self._add_boxes(sample, moved, fused[part], alone[:, part])
        return samples

    def _add_boxes(self, sample: DataSample, boxes: Tensor, fused: Tensor, alone: Tensor) -> None:
        from mmdet.models.layers import multiclass_nms

        cfg = self.test_cfg
        scores = nn.functional.pad(fused, (0, 1))  # (R, C + 1), the last is background
        kept, labels, indices = multiclass_nms(boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img, return_inds=True)
        found = InstanceData(
            bboxes=kept[:, :4] * original_scale(sample, boxes, type(self).__name__), scores=kept[:, 4], labels=labels
        )
        rows = indices // self.num_classes
        for name, values in zip(self.branches, alone, strict=True):
            found.set_field(values[rows, labels], f'{name}_scores')
        sample.set_field(found, 'pred_instances')


def _shape(sample: DataSample) -> tuple[int, int]:
    height, width = sample.metainfo['img_shape'][:2]
    return height, width
