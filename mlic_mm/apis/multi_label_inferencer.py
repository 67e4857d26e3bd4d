"""Labels of image files, from Python."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS, DefaultScope
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.structures import DataSample

from mlic_mm.config_files.config_file import read_config
from mlic_mm.datasets.transforms import LoadImage
from mlic_mm.models.classifiers import EnsembleClassifier
from mlic_mm.models.teachers.trained_classifier import build_classifier, common_labels
from mlic_mm.utils.checks import check_head_labels
from mlic_mm.utils.choices import check_choice, check_range

from .image_batches import in_batches, stack_images
from .image_inputs import list_inputs, to_bgr

__all__ = ['MultiLabelInferencer']

OnError = Literal['raise', 'skip']


class MultiLabelInferencer(ImageClassificationInferencer):
    """Score images with a multi-label model, such as an ensemble.

    mmpretrain's own inferencer gives the one best label, decodes files in its own way and may execute what a checkpoint
    carries. This one gives all labels above a threshold and reads checkpoints as plain data. It runs the whole test
    pipeline of the config, so that an image has the same score as in the test.

    Args:
        model: Config file or config. Its ``test_dataloader`` has the pipeline.
        pretrained: Checkpoint. None for an ensemble whose members have theirs.
        device: Where to run. Defaults to the CPU.
        classes: Label names, if neither checkpoint nor config states them.
        on_error: For calls that do not say, see :meth:`preprocess`. Defaults to that of ``LoadImage`` in the pipeline.

    Raises:
        FileNotFoundError: Config or checkpoint is missing.
        ValueError: The checkpoint does not fit, or none is given; the config has no test pipeline; the number of label
            names differs from the number of labels that the model scores; or a name occurs twice.
        TypeError: ``classes`` are no names.

    Examples:
        >>> inferencer = MultiLabelInferencer('configs/deeplift_voc07.py', 'best.pth')  # doctest: +SKIP
        >>> inferencer(['a.jpg', 'b.jpg'], batch_size=2, threshold=0.3)[0]['pred_classes']  # doctest: +SKIP
        ['dog', 'person']
    """

    preprocess_kwargs: ClassVar[set] = {'on_error'}
    postprocess_kwargs: ClassVar[set] = {'threshold'}

    def __init__(
        self,
        model: str | Path | Config,
        pretrained: str | Path | None = None,
        device: str | torch.device | None = None,
        classes: Sequence[str] | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = _checked(on_error)
        cfg = model if isinstance(model, Config) else read_config(model)
        built, labels = build_classifier(cfg, pretrained)
        if pretrained is None and not isinstance(built, EnsembleClassifier):
            raise ValueError(f'no checkpoint for {cfg.filename or "the model"}: its scores would be random')
        if classes is not None:
            labels['argument classes'] = _label_names(classes)
        for source, names in labels.items():
            check_head_labels(getattr(built, 'head', None), names, source)
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

    def __call__(
        self, inputs: Any, return_datasamples: bool = False, batch_size: int = 1, **kwargs: Any
    ) -> list[dict] | list[DataSample | None]:
        """Score images.

        Args:
            inputs: A path, a folder, an array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` in BGR order as OpenCV reads
                it, a tensor ``(3, H, W)`` in RGB order, an image of Pillow, or a list or generator of these. Arrays and
                tensors have values from 0 to 255. A folder stands for the files whose names end as those of images do.
            return_datasamples: Return samples instead of results.
            batch_size: Images at once.
            **kwargs: ``threshold``, see :meth:`postprocess`; ``on_error``, see :meth:`preprocess`; and the options of
                mmpretrain's ``visualize``.

        Returns:
            A result for each input, in their order; see :meth:`postprocess`.

        Raises:
            FileNotFoundError: A file is missing.
            TypeError: An input is no image, or an option is no number.
            ValueError: A file cannot be read, an array has other values, a folder has no images, or an option is
                invalid.
        """
        for_pipeline, for_model, for_picture, for_result = self._dispatch_kwargs(**kwargs)
        check_range('batch_size', batch_size, at_least=1, whole=True)
        images = list_inputs(inputs)
        if for_picture:
            images = list(images)
        check_range('threshold', for_result.get('threshold', 0.5))
        samples: list[DataSample] = []
        names: list[str | None] = []
        failed: dict[int, str] = {}
        for loaded in in_batches(self._packed(images, **for_pipeline), batch_size):
            good = []
            for name, packed, reason in loaded:
                if packed is None:
                    failed[len(names)] = reason
                else:
                    good.append((name or f'image {len(names)}', packed))
                names.append(name)
            if good:
                samples += self.forward(stack_images(good), **for_model)
        if for_picture:
            pictured = [i for k, i in enumerate(images) if k not in failed]
            self.visualize([i if isinstance(i, str) else to_bgr(i) for i in pictured], samples, **for_picture)
        results: list = self.postprocess(samples, None, return_datasamples, **for_result)
        for at, reason in failed.items():  # from the first to the last
            none: dict = dict(pred_scores=None, pred_labels=[], pred_classes=[], error=reason)
            results.insert(at, None if return_datasamples else none)
        for name, result in zip(names, results, strict=True):
            if name is not None and isinstance(result, dict):
                result['img_path'] = name
        return results

    def preprocess(self, inputs: Iterable, batch_size: int = 1, on_error: OnError | None = None) -> Iterator[dict]:
        """Yield batches of the images that can be read.

        Args:
            inputs: Paths, or what :func:`~mlic_mm.apis.image_inputs.to_bgr` takes.
            batch_size: Images in a batch.
            on_error: What to do about a file that is missing or cannot be read, or an array that is no image.
                ``'raise'`` stops. ``'skip'`` leaves it out; its result has no labels, and the reason as ``error``.
                Defaults to that of the inferencer.
        """
        packed = self._packed(inputs, on_error)
        good = ((name or 'an array', data) for name, data, _ in packed if data is not None)
        yield from map(stack_images, in_batches(good, batch_size))

    def _packed(
        self, inputs: Iterable, on_error: OnError | None = None
    ) -> Iterator[tuple[str | None, dict | None, str]]:
        """Yield path, packed image and problem of each input. An array has no path."""
        load, *steps = self.pipeline.transforms
        skip = (_checked(on_error) or self.on_error or getattr(load, 'on_error', 'raise')) == 'skip'
        rest = Compose(steps)
        for item in inputs:
            name = item if isinstance(item, str) else None
            try:
                if name is None:
                    image = to_bgr(item)
                    loaded = dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
                else:
                    loaded = self._load(name)
            except Exception as error:  # loaders of other packages meet damaged files with any
                # What is no image at all is a mistake in the call.
                if not skip or isinstance(error, TypeError):
                    raise
                print_log(f'no result for {error}', 'current', level=30)
                yield name, None, str(error)
                continue
            packed = rest(loaded)
            if packed is None:
                raise ValueError(
                    f'the test pipeline gives nothing for {name or "an array"}; take out what drops images'
                )
            yield name, packed, ''

    def _load(self, path: str) -> dict:
        """Read a file as the pipeline does. A file that cannot be read is an error, whatever ``on_error`` says."""
        load = self.pipeline.transforms[0]
        if isinstance(load, LoadImage):
            load = copy(load)
            load.on_error = 'raise'
        loaded = load(dict(img_path=path))
        if loaded is None:
            raise ValueError(f'{path}: cannot be read')
        return loaded

    def postprocess(
        self,
        preds: list[DataSample],
        visualization: list[np.ndarray] | None,
        return_datasamples: bool = False,
        threshold: float = 0.5,
    ) -> list[dict] | list[DataSample]:
        """Return the labels whose score is above a threshold, the best first.

        Args:
            preds: What the model gives.
            visualization: Not used.
            return_datasamples: Return ``preds``.
            threshold: A number.

        Returns:
            A dictionary for each image: ``pred_scores``, float32 ``(C,)``, of all labels; ``pred_labels``, the indices
            of those above the threshold; ``pred_classes``, their names if they are known; and ``img_path`` of a file.
            A model that detects also gives ``pred_boxes``, float32 ``(K, 4)`` as [x1, y1, x2, y2] in pixels of the
            image, with ``pred_box_scores`` and ``pred_box_labels`` ``(K,)``, the best first. The threshold is not for
            them.
        """
        check_range('threshold', threshold)
        if return_datasamples:
            return preds
        results = []
        for sample in preds:
            scores = sample.pred_score.float().cpu().numpy()
            if self.classes is not None and len(self.classes) != len(scores):  # of a head that did not tell before
                raise ValueError(
                    f'the model scores {len(scores)} labels and has {len(self.classes)} names: give others by classes='
                )
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


def _label_names(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f'classes={classes!r} are no label names: give a list, such as ["cat", "dog"]')
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        raise ValueError(f'classes has {twice[0]!r} more than once: give each label its own name')
    return tuple(classes)


def _checked(on_error: OnError | None) -> OnError | None:
    if on_error is not None:
        check_choice('on_error', on_error, get_args(OnError))
    return on_error
