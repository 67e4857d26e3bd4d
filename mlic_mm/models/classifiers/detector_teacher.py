"""A supervised detector as teacher."""

from collections.abc import Mapping, Sequence
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
from mlic_mm.models.utils.layer_maps import tapped
from mlic_mm.models.utils.mmdet_detector import build_detector, dataset_of
from mlic_mm.registry import MODELS
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.utils.boxes import image_frame
from mlic_mm.utils.checks import check_same_classes


@MODELS.register_module()
class DetectorTeacher(nn.Module):
    """Any detector of mmdet in the place of the weakly supervised one (KD from WSD, section 4.4, Table 5).

    Paper: the proposals of the framework are replaced by Faster R-CNN's detections. Here: its image logits and maps
    teach too, where a loss asks for them.

    Images come as the pipeline of the student makes them; the detector's own resizing is left out, so load them in its
    scale and set ``student_size``. Where it would pad them, they are stretched to the next multiple of its
    ``pad_size_divisor``, so that maps end where the image ends.

    Args:
        detector: The detector's config file, a whole config, or its ``model`` alone.
        checkpoint: Its weights, read as plain data. None leaves the initial ones: for tests.
        classes: Label names in the order of the detector's outputs. By default those that the checkpoint states, or
            else the data set of the config; where several are known they must be alike.
        eps: Scores are clamped to [ε, 1 − ε] before the logit is taken. A label without any detection has ε: mmdet's
            ``score_thr``, often 0.05, has hidden what it scored.
        data_preprocessor: Not used, for builders that give one to every model; the detector has its own.

    Attributes:
        classes (tuple[str, ...] | None): Label names.
        num_classes (int): C.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        FileNotFoundError: Config or checkpoint is missing.
        ValueError: The weights do not fit, class names differ or are not as many as the detector's outputs, or the
            detector has no classes, as an ``RPN``.
    """

    def __init__(
        self,
        detector: str | Path | Mapping[str, Any],
        checkpoint: str | Path | None = None,
        classes: Sequence[str] | None = None,
        eps: float = 1e-3,
        data_preprocessor: Any = None,
    ) -> None:
        super().__init__()
        if not 0 < eps < 0.5:
            raise ValueError(f'DetectorTeacher: eps={eps} must lie between 0 and 0.5')
        self.eps = eps
        model, cfg = build_detector(detector, 'DetectorTeacher')
        self.detector: Any = model
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
        """Where the map of the name ``''`` comes from."""
        return self.detector.backbone

    def teach(self, raw: Tensor, samples: Sequence[DataSample] | None = None) -> DistillOutputs:
        """Detect, and return what that says of each image.

        Args:
            raw: ``(N, 3, H, W)``, 0 to 255, BGR.
            samples: Not needed.

        Returns:
            Logits of the best detection of each label ``(N, C)``, the backbone's last map, and as regions all
            detections, whatever their label, with their scores, the best first; an image may have none.
        """
        from mmdet.structures import DetDataSample

        detector = self.detector.to(raw.device)  # mmengine's preprocessors notice a move only where it is made on them
        step = getattr(detector.data_preprocessor, 'pad_size_divisor', 1)
        shape = tuple(-(-side // step) * step for side in raw.shape[2:])
        if shape != raw.shape[2:]:
            raw = F.interpolate(raw.float(), shape, mode='bilinear')
        meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
        batch = dict(inputs=list(raw), data_samples=[DetDataSample(metainfo=meta) for _ in raw])
        with tapped(self, ('',)) as maps, DefaultScope.overwrite_default_scope('mmdet'):
            batch = detector.data_preprocessor(batch, False)
            found = detector.predict(batch['inputs'], batch['data_samples'], rescale=False)
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
        """Return C after comparing the heads' with the names."""
        heads = [
            (name, module.num_classes)
            for name, module in self.detector.named_modules()
            if name.startswith(('bbox_head', 'roi_head.bbox_head')) and hasattr(module, 'num_classes')
        ]
        # mmdet's RPN is a detector of the one class "object".
        if type(self.detector).__name__ == 'RPN' or not (heads or self.classes):
            raise ValueError(
                f'DetectorTeacher: {type(self.detector).__name__} of {source} tells no classes apart; name a detector '
                'with a bbox_head, or give `classes`'
            )
        for name, count in heads:
            if self.classes is not None and count != len(self.classes):
                raise ValueError(
                    f'DetectorTeacher: {name} of {source} has num_classes={count}, {named_by} names '
                    f'{len(self.classes)}; give config, checkpoint and classes of one detector'
                )
        return heads[0][1] if heads else len(self.classes or ())


def _classes_of_data(cfg: Config) -> tuple[str, ...] | None:
    """Class names of the test data that a config states, without their being read."""
    from mmdet.registry import DATASETS

    data = dataset_of(cfg) or {}
    classes = (data.get('metainfo') or {}).get('classes')
    if not classes:
        with DefaultScope.overwrite_default_scope('mmdet'):
            classes = getattr(type_class(DATASETS, data.get('type')), 'METAINFO', {}).get('classes')
    return (classes,) if isinstance(classes, str) else tuple(classes) if classes else None
