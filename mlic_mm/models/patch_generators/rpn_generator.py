"""Proposals of a trained detector's region proposal network."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier

from mlic_mm.config_files.config_types import type_name
from mlic_mm.models.utils.mmdet_detector import build_detector, dataset_of, scope_of
from mlic_mm.models.utils.mmdet_parts import register_mmdet
from mlic_mm.registry import TASK_UTILS
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.utils.boxes import image_frame

from .patch_generator import PatchGenerator


@TASK_UTILS.register_module()
class RPNGenerator(PatchGenerator):
    """The proposals of an mmdet detector: an ``RPN``, or any two-stage detector that has an ``rpn_head``.

    The detector may be a :class:`~mlic_mm.models.MultiLabelClassifier` with
    :class:`~mlic_mm.models.RegionProposals`. The image goes through the test pipeline of the config, without its
    loading steps, and through the data preprocessor. ``test_cfg.rpn`` decides which boxes are kept (``nms_pre``,
    ``nms``, ``max_per_img``). Scores are objectness in [0, 1].

    Paper: Table 5 of `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ has the final detections of Faster
    R-CNN, 100 an image. Here: the proposals of its region proposal network; ``num=100`` gives as many.

    Args:
        config: The detector's config file.
        checkpoint: Weights, read as plain data. None leaves the initial weights: for tests.
        device: Device of the detector.
        num: Largest number of boxes per image.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
        FileNotFoundError: ``config`` or ``checkpoint`` is missing.
        ValueError: The detector has no region proposal network, or the weights do not fit it.

    Examples:
        >>> generator = dict(
        ...     type='mlic_mm.RPNGenerator', config='faster-rcnn_r50_fpn_1x_coco.py', checkpoint='faster_rcnn.pth'
        ... )
        >>> boxes, scores = TASK_UTILS.build(generator)(image)  # doctest: +SKIP
    """

    def __init__(self, config: str, checkpoint: str | None = None, device: str = 'cpu', num: int = 1000) -> None:
        super().__init__(num)
        register_mmdet('RPNGenerator')
        self._model, cfg = build_detector(config)
        self.config = config
        self.checkpoint = checkpoint
        self.device = device
        self._scope = scope_of(cfg)
        with DefaultScope.overwrite_default_scope(self._scope):
            self._pipeline = Compose(_pipeline(cfg, config))
        if self._head() is None:
            raise ValueError(
                f'{cfg.model.type} of {config} has no region proposal network: name an RPN or a '
                'two-stage detector, such as Faster R-CNN, or mlic_mm.MultiLabelClassifier with mlic_mm.RegionProposals'
            )
        if checkpoint is not None:
            name = next(name for name, module in self._model.named_modules() if module is self._head())
            StoredWeights.read(checkpoint).load_into(self._model, ('backbone', 'neck', name))

    @property
    def settings(self) -> dict[str, Any]:
        """See the base class. Files are stated by their names."""
        checkpoint = None if self.checkpoint is None else Path(self.checkpoint).name
        return super().settings | dict(config=Path(self.config).name, checkpoint=checkpoint)

    def propose(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See the base class."""
        model: Any = self._model.to(self.device)
        with DefaultScope.overwrite_default_scope(self._scope), torch.inference_mode():
            data = self._pipeline(dict(img=image, img_id=0))
            batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
            batch = model.data_preprocessor(batch, False)
            maps = model.extract_feat(batch['inputs'])
            detector = not isinstance(model, ImageClassifier)
            found = self._head().predict(maps, batch['data_samples'], rescale=detector)[0]
        boxes, scores = found.bboxes.cpu().numpy(), found.scores.cpu().numpy()
        if not detector:
            # mmdet uses scale_factor, which is that of the last of several resizings, and may not be packed here.
            height, width = batch['data_samples'][0].metainfo['img_shape'][:2]
            boxes = boxes * np.array(image_frame(image.shape[1] / width, image.shape[0] / height), np.float32)
        return boxes, scores

    def _head(self) -> Any:
        """The region proposal network: ``rpn_head``, which mmdet's ``RPN`` calls ``bbox_head``."""
        head = getattr(getattr(self._model, 'proposer', self._model), 'rpn_head', None)
        return head if head is not None or type(self._model).__name__ != 'RPN' else self._model.bbox_head


def _pipeline(cfg: Config, config: str) -> list[dict]:
    """Return the test pipeline for an image that is in memory, without annotations."""
    node = dataset_of(cfg)
    if node is None:
        raise ValueError(f'{config} has no test_dataloader.dataset.pipeline: name a whole config')
    steps = [dict(step) for step in copy.deepcopy(list(node.pipeline))]
    kinds = [type_name(step['type']) for step in steps]
    kept = [step for step, kind in zip(steps, kinds, strict=True) if not kind.startswith('Load')]
    return [dict(type='mmdet.LoadImageFromNDArray'), *kept]
