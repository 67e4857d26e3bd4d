"""A supervised detector as teacher."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.config_files.config_types import type_class
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.models.utils.layer_maps import LayerMaps
from mlic_mm.models.utils.mmdet_detector import build_detector, dataset_of
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import MODELS
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.utils.boxes import image_frame
from mlic_mm.utils.checks import check_same_classes
from mlic_mm.utils.choices import check_range


@MODELS.register_module()
class DetectorTeacher(nn.Module):
    """Any detector of mmdet in place of the weakly supervised one.

    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), section 4.4, Table 5. Paper: Faster
    R-CNN's detections replace the proposals of the framework. Here: its image logits and maps teach too, if a loss
    needs them.

    Images come from the student's pipeline, without the detector's own resizing. Load them in the detector's scale and
    set ``student_size``. Instead of padding, images are stretched to the next multiple of the detector's
    ``pad_size_divisor``, so that maps end where the image ends.

    Args:
        detector: The detector's config file, a whole config, or its ``model`` alone.
        checkpoint: Weights, read as plain data. None leaves the initial weights: for tests.
        classes: Label names in the order of the detector's outputs. By default, the checkpoint states them, or else the
            data set of the config. All known names must be equal.
        eps: Scores are clamped to [ε, 1 − ε] before the logit is taken. A label without a detection has the score ε,
            because mmdet's ``score_thr``, often 0.05, hides lower scores.
        data_preprocessor: Not used: builders give one to every model, and the detector has its own.

    Attributes:
        classes: Label names, None if nothing states them.
        num_classes: C.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        FileNotFoundError: Config or checkpoint is missing.
        ValueError: The weights do not fit; class names differ, or their number differs from the detector's outputs; the
            detector has no classes, as an ``RPN``.

    Examples:
        >>> teacher = dict(  # of mlic_mm.Distillation
        ...     model=dict(
        ...         type='mlic_mm.DetectorTeacher',
        ...         detector='faster-rcnn_r50_fpn_1x_voc0712.py',
        ...         checkpoint='faster_rcnn_voc0712.pth',
        ...     )
        ... )
        >>> MODELS.build(teacher['model'])  # doctest: +SKIP
    """

    classes: tuple[str, ...] | None

    def __init__(
        self,
        detector: str | Path | Mapping[str, Any],
        checkpoint: str | Path | None = None,
        classes: Sequence[str] | None = None,
        eps: float = 1e-3,
        data_preprocessor: Any = None,
    ) -> None:
        super().__init__()
        check_range('eps', eps, above=0, below=0.5)
        self.eps = eps
        register_mmdet('DetectorTeacher')
        model, cfg = build_detector(detector)
        self.detector: Any = model
        self._maps = LayerMaps(self, ('',))
        source = str(cfg.filename or 'the config')
        names = {'the argument classes': tuple(classes) if classes else None}
        if checkpoint is not None:
            stored = StoredWeights.read(checkpoint)
            stored.load_into(self.detector)
            names[stored.source] = stored.classes
        if not any(names.values()):
            names[source] = _classes_of_data(cfg)
        known = [(where, found) for where, found in names.items() if found]
        for where, found in known[1:]:
            check_same_classes(known[0][1], found, known[0][0], where)
        self.classes = known[0][1] if known else None
        self.num_classes = self._count_classes(source, known[0][0] if known else '')

    @property
    def backbone(self) -> nn.Module:
        """The module that gives the map with the name ``''``."""
        return self.detector.backbone

    @torch.compiler.disable  # the number of detections differs from image to image
    def teach(self, raw: Tensor, samples: Sequence[DataSample] | None = None) -> DistillOutputs:
        """Detect, in single precision, and return what the detections say about each image.

        Args:
            raw: ``(N, 3, H, W)``, 0 to 255, BGR.
            samples: Not needed.

        Returns:
            Logits of the best detection of each label ``(N, C)``, and the backbone's last map. The regions are all
            detections of any label with their scores, the best first. An image may have none.
        """
        from mmdet.structures import DetDataSample

        detector = self.detector.to(raw.device)  # mmengine's preprocessors notice only their own moves
        step = getattr(detector.data_preprocessor, 'pad_size_divisor', 1)
        shape = tuple(-(-side // step) * step for side in raw.shape[2:])
        if shape != raw.shape[2:]:
            raw = F.interpolate(raw.float(), shape, mode='bilinear')
        meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
        batch = dict(inputs=list(raw), data_samples=[DetDataSample(metainfo=meta) for _ in raw])
        # mmcv's NMS takes boxes and scores of one precision only.
        precise = torch.autocast(raw.device.type, enabled=False)
        with precise, DefaultScope.overwrite_default_scope('mmdet'):
            batch = detector.data_preprocessor(batch, False)
            detect = partial(detector.predict, rescale=False)
            found, maps = self._maps.record(detect, batch['inputs'], batch['data_samples'])
        best = raw.new_zeros(len(raw), self.num_classes, dtype=torch.float32)
        frame = best.new_tensor(image_frame(shape[1], shape[0]))
        boxes, scores = [], []
        for row, sample in zip(best, found, strict=True):
            instances = sample.pred_instances
            row.scatter_reduce_(0, instances.labels, instances.scores.float(), 'amax')
            order = instances.scores.argsort(descending=True, stable=True)
            boxes.append((instances.bboxes[order].float() / frame).clamp(0, 1))
            scores.append(instances.scores[order].float())
        return DistillOutputs(best.clamp(self.eps, 1 - self.eps).logit(), maps, boxes=boxes, box_scores=scores)

    def _count_classes(self, source: str, named_by: str) -> int:
        """Return C, after a comparison of the heads' numbers with the names."""
        heads = [
            (name, module.num_classes)
            for name, module in self.detector.named_modules()
            if name.startswith(('bbox_head', 'roi_head.bbox_head')) and hasattr(module, 'num_classes')
        ]
        # mmdet's RPN is a detector of the one class "object".
        if type(self.detector).__name__ == 'RPN' or not (heads or self.classes):
            raise ValueError(
                f'{type(self.detector).__name__} of {source} has no classes: name a detector with a bbox_head, or set '
                'classes of DetectorTeacher'
            )
        for name, count in heads:
            if self.classes is not None and count != len(self.classes):
                raise ValueError(
                    f'{name} of {source} has num_classes={count}, but {named_by} names {len(self.classes)}: give '
                    'config, checkpoint and classes of one detector'
                )
        return heads[0][1] if heads else len(self.classes or ())


def _classes_of_data(cfg: Config) -> tuple[str, ...] | None:
    """Return the class names that a config states for its test data, without reading the data."""
    from mmdet.registry import DATASETS

    data = dataset_of(cfg) or {}
    classes = (data.get('metainfo') or {}).get('classes')
    if not classes:
        with DefaultScope.overwrite_default_scope('mmdet'):
            classes = getattr(type_class(DATASETS, data.get('type')), 'METAINFO', {}).get('classes')
    return (classes,) if isinstance(classes, str) else tuple(classes) if classes else None
