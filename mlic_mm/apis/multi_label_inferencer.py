"""Labels of image files, from Python."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import TRANSFORMS, DefaultScope
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.structures import DataSample

from mlic_mm.models.classifiers import EnsembleClassifier
from mlic_mm.models.classifiers.trained_classifier import build_classifier, common_labels
from mlic_mm.utils.config_file import read_config


class MultiLabelInferencer(ImageClassificationInferencer):
    """Score images with a multi-label model, an ensemble or any other.

    mmpretrain's own inferencer gives the one best label, decodes files in its own way and may execute what a checkpoint
    carries. This one gives all labels above a threshold, runs the config's own test pipeline from the file on, so that
    an image has the score that it had in the test, and reads checkpoints as plain data.

    >>> inferencer = MultiLabelInferencer('configs/deeplift_voc07.py', 'best.pth', device='cuda')
    >>> inferencer(['a.jpg', 'b.jpg'], batch_size=2, threshold=0.3)[0]['pred_classes']
    ['dog', 'person']

    Args:
        model: Config file or config, whose ``test_dataloader`` has the pipeline.
        pretrained: Checkpoint. May be left out for an ensemble whose members have theirs.
        device: Where to run; the CPU by default.
        classes: Label names, where neither checkpoint nor config states them.

    Raises:
        FileNotFoundError: Config or checkpoint is missing.
        ValueError: The checkpoint does not fit, none is given, or the config has no test pipeline.
    """

    postprocess_kwargs: ClassVar[set] = {'threshold'}

    def __init__(
        self,
        model: str | Path | Config,
        pretrained: str | Path | None = None,
        device: str | torch.device | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        cfg = model if isinstance(model, Config) else read_config(model)
        built, labels = build_classifier(cfg, pretrained)
        if pretrained is None and not isinstance(built, EnsembleClassifier):
            raise ValueError(f'no checkpoint for {cfg.filename or "the model"}: its scores would be random')
        if classes is not None:
            labels['argument classes'] = tuple(classes)
        built._config = cfg
        super().__init__(built, pretrained=False, device=device, classes=common_labels(labels))

    def _init_pipeline(self, cfg: Config) -> Callable:
        try:
            steps = cfg.test_dataloader.dataset.pipeline
        except AttributeError:
            raise ValueError(
                f'{cfg.filename or "the config"} has no test_dataloader.dataset.pipeline, which says how to load images'
            ) from None
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
            pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        first = type(pipeline.transforms[0]).__name__ if pipeline.transforms else 'nothing'
        if not first.startswith('Load'):
            raise ValueError(f'the test pipeline must begin by loading the image, it begins with {first}')
        return pipeline

    def _inputs_to_list(self, inputs: Any) -> list:
        listed = super()._inputs_to_list(_as_text(inputs))
        return [_as_text(item) for item in listed]

    def preprocess(self, inputs: list[str | np.ndarray], batch_size: int = 1) -> Iterator[dict]:
        """Yield batches; an array is an image ``(H, W, 3)`` uint8 in BGR order."""
        without_loader = Compose(self.pipeline.transforms[1:])

        def load(item: str | np.ndarray) -> dict:
            if isinstance(item, str):
                return self.pipeline(dict(img_path=item))
            return without_loader(dict(img=item, img_shape=item.shape[:2], ori_shape=item.shape[:2]))

        yield from map(default_collate, self._get_chunk_data(map(load, inputs), batch_size))

    def postprocess(
        self,
        preds: list[DataSample],
        visualization: list[np.ndarray] | None,
        return_datasamples: bool = False,
        threshold: float = 0.5,
    ) -> list[dict] | list[DataSample]:
        """Labels whose score is above ``threshold``, best first.

        Returns:
            For each image ``pred_scores`` ``(C,)`` float32 of all labels, ``pred_labels`` the indices of those above,
            and ``pred_classes`` their names where they are known. From a model that detects also ``pred_boxes``,
            float32 ``(K, 4)`` as [x1, y1, x2, y2] in pixels of the image, with ``pred_box_scores`` and
            ``pred_box_labels`` ``(K,)``, best first; the threshold is not for them.
        """
        if return_datasamples:
            return preds
        results = []
        for sample in preds:
            scores = sample.pred_score.float().cpu().numpy()
            above = [int(label) for label in np.argsort(-scores, kind='stable') if scores[label] > threshold]
            result = dict(pred_scores=scores, pred_labels=above)
            if self.classes is not None:
                result['pred_classes'] = [self.classes[label] for label in above]
            if 'pred_instances' in sample:
                found = sample.pred_instances.cpu()
                result |= dict(
                    pred_boxes=found.bboxes.numpy(),
                    pred_box_scores=found.scores.numpy(),
                    pred_box_labels=found.labels.numpy(),
                )
            results.append(result)
        return results


def _as_text(item: Any) -> Any:
    return os.fspath(item) if isinstance(item, os.PathLike) else item
