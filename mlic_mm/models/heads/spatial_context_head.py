"""Labels of objects and of their surroundings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from mlic_mm.models.layers import ContextExpand, Fusion, fuse_logits
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS, TASK_UTILS
from mlic_mm.utils.choices import check_choice, check_range

from .patch_targets import BRANCHES, Branch, patch_targets
from .region_samples import objects_of, original_scale, proposals_of, refuse_export

Feats = tuple[Tensor, ...]
Target = Literal['patch', 'image']
BOX_CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
ROI_EXTRACTOR = dict(
    type='SingleRoIExtractor',
    # Four samples a cell, and torchvision's kernel, which is faster on CPUs, because patches are pooled twice.
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
    r"""The four patch processors of the spatial-context-aware network, on the maps of an FPN.

    `Spatial context <https://arxiv.org/abs/2111.12296>`_ (Zhang et al. 2021), section 2.4. The object branch pools each
    proposal into a vector. Three linear layers predict box offsets, objectness and labels. The context branch pools the
    box grown by ``context`` and predicts labels only. In training, proposals are assigned to objects and sampled as in
    mmdet's Faster R-CNN, with its parts. The losses are Eq. 6,
    :math:`L = L_r + \alpha L_p + \beta L_l^O + \gamma L_l^C`:

    - ``loss_bbox``, :math:`L_r`: smooth L1 (Eq. 2, 3), with class-agnostic boxes;
    - ``loss_patch``, :math:`\alpha L_p`: cross-entropy (Eq. 4) of object and background. Paper: the second term has the
      wrong sign. Here: the right one;
    - ``loss_object``, ``loss_context``: binary cross-entropy summed over labels, averaged over patches (Eq. 5), with
      the weight σ. Paper: σ is inside the logarithm. Here: it is a weight of the loss.

    The probability of a label in a patch is fused from both branches. Its maximum over patches is the probability
    :math:`p` of the label in the image. The head's output is the logit of :math:`p`.

    In an ``ImageClassifier``, the head takes any proposals. With the objective
    :class:`~mlic_mm.models.RegionProposals`, it takes those of a region proposal network.

    Args:
        num_classes: C.
        in_channels: Width of the maps.
        fc_channels: Width of the vectors.
        roi_extractor: Options that differ from mmdet's ``SingleRoIExtractor`` of Faster R-CNN with torchvision's
            kernel.
        box_head: Options that differ from mmdet's ``BBoxHead``: ``bbox_coder, loss_bbox, loss_cls``.
        context: Config of the patch expansion.
        branches: Branches that predict labels: ``('object', 'context')`` or one of them.
        fusion: How the probabilities of the branches are fused.
        target: With ``'patch'``, a patch has the labels of the objects that it matches (object branch: with the IoU of
            the assigner) or contains (context branch: at least half of the object). With ``'image'``, every patch has
            the labels of the image, as :math:`y^*` says literally. Labels of difficult objects and crowds are ignored
            (−1).
        alpha: :math:`\alpha`, at least 0.
        beta: :math:`\beta`, at least 0.
        gamma: :math:`\gamma`, at least 0.
        sigma: σ, at least 0.
        loss: Config of the loss of the labels of patches (Eq. 5); None is :class:`MultiLabelBCELoss`.
        train_cfg: ``assigner`` and ``sampler``, as ``rcnn`` in mmdet's ``train_cfg``.
        test_cfg: ``score_thr``, ``nms`` and ``max_per_img`` of the boxes, as ``rcnn`` in mmdet's ``test_cfg``.
        **kwargs: Options of ``MultiLabelClsHead``: ``thr, topk, init_cfg``.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        ValueError: An option is out of range. When called: samples have no proposals or, in training, no boxes of
            objects.

    Examples:
        >>> from mmpretrain.structures import DataSample
        >>> head = MODELS.build(
        ...     dict(type='mlic_mm.SpatialContextHead', num_classes=3, in_channels=8, fc_channels=16)
        ... )  # needs mmdet
        >>> maps = tuple(torch.rand(1, 8, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32))
        >>> sample = DataSample(metainfo=dict(img_shape=(64, 64)))
        >>> sample.set_field(torch.tensor([[0.0, 0.0, 40.0, 40.0]]), 'proposals')
        >>> sample.set_field(torch.ones(1), 'proposal_scores')
        >>> head(maps, [sample]).shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 256,
        fc_channels: int = 1024,
        roi_extractor: Mapping[str, Any] | None = None,
        box_head: Mapping[str, Any] | None = None,
        context: dict | ContextExpand | None = None,
        branches: Sequence[Branch] = BRANCHES,
        fusion: Fusion = 'mean',
        target: Target = 'patch',
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        sigma: float = 0.5,
        loss: Mapping[str, Any] | None = None,
        train_cfg: Mapping[str, Any] | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss=dict(loss or dict(type='mlic_mm.MultiLabelBCELoss')), **kwargs)
        leave_out_unknown(self)
        if not branches or isinstance(branches, str) or set(branches) - set(BRANCHES):
            raise ValueError(f'branches={branches!r} must be a list of {" and ".join(BRANCHES)}')
        check_choice('fusion', fusion, get_args(Fusion))
        check_choice('target', target, get_args(Target))
        for name, value in dict(alpha=alpha, beta=beta, gamma=gamma, sigma=sigma).items():
            check_range(name, value, at_least=0)
        register_mmdet('SpatialContextHead')
        self.num_classes = num_classes
        self.branches = tuple(name for name in BRANCHES if name in branches)
        self.fusion = fusion
        self.target = target
        self.weights = dict(object=beta * sigma, context=gamma * sigma)
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
            # Boxes and objectness need the object branch's vector, even if it predicts no labels.
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
        # Half precision would move the corners, and mmcv's RoIAlign silently reads any memory as (N, D, h, w).
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

    @torch.compiler.disable  # the number of objects differs from image to image
    def loss(self, feats: Feats, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Return the losses of Eq. 6.

        Args:
            feats: Maps of the FPN, the finest first.
            data_samples: With ``proposals``, ``gt_instances`` in pixels of the input and, if there are any,
                ``ignored_instances``; for ``target='image'`` with ``gt_score``.
            **kwargs: Options of the loss of the labels.
        """
        from mmdet.structures.bbox import bbox2roi

        proposals, _ = proposals_of(data_samples, feats[0].device, type(self).__name__)
        device = feats[0].device
        objects = [objects_of(sample, type(self).__name__, device) for sample in data_samples]
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
        """Assign proposals to objects of any label, and return mmdet's ``SamplingResult``."""
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

        Boxes are the patches moved by the location regressor, in pixels of the image's file. The score of a box is the
        product of the objectness of its patch and the fused probability of its label. ``object_scores`` and
        ``context_scores`` are the probabilities of each branch.
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
