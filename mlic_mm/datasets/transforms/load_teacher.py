"""Put what a teacher said about a sample beside its image."""

import shlex

import numpy as np
from mmcv.transforms import BaseTransform

from mlic_mm.datasets.teacher_cache.cache import TeacherCache
from mlic_mm.datasets.teacher_cache.fingerprint import teacher_fingerprint
from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import image_frame

from .load_proposals import add_boxes, check_sample

CORNER = 0.25
"""The row before the last of ``gt_bboxes`` is this part of width and height, from the top left: with maps only."""
_CORNER_BOX = np.array([[0, 0, CORNER, CORNER]], np.float32)


@TRANSFORMS.register_module()
class LoadTeacher(BaseTransform):
    """Read a teacher's outputs of a sample from a cache, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    In the pipeline of a student, in place of :class:`~mlic_mm.datasets.transforms.LoadProposals`: the regions that the
    teacher kept become ``gt_bboxes`` and move with the image in the same way, :math:`s'` becomes ``proposal_scores``.
    When built, it compares the cache with config and checkpoint of the teacher, which need not be loaded afterwards.

    The teacher saw the image unflipped and whole. Its logits belong to the labels of the image and are taken for those
    of the flipped or cropped one; regions and maps are moved, maps by flips alone.

    Added keys: ``gt_bboxes``, ``proposal_scores`` (both not of a teacher without regions and maps), and
    ``teacher``, a :class:`~mlic_mm.datasets.teacher_cache.CachedTeacher`.

    Args:
        cache (str): A folder of ``tools/cache_teacher.py``.
        config (str): Of the teacher.
        checkpoint (str, optional): Of the teacher; None where the config's model names its weights.

    Attributes:
        classes (tuple[str, ...]): Label names of the cache.

    Raises:
        FileNotFoundError: The cache, the config, the checkpoint or the teacher's proposal file is missing.
        ValueError: The cache is stale: the message names what has changed and the command that writes it anew; or a
            part of it was cut short. On a sample: the cache has no such image, or had it in another size.
    """

    def __init__(self, cache: str, config: str, checkpoint: str | None = None) -> None:
        self.cache = TeacherCache(cache)
        self.classes = self.cache.classes
        now = teacher_fingerprint(config, checkpoint)
        if stale := [part for part in now if now[part] != self.cache.fingerprint.get(part)]:
            raise ValueError(
                f'{self.cache.path} is stale: {" and ".join(stale)} of the teacher {config} {checkpoint or ""} '
                f'differ from those that it was written with. Write it anew: {self._command(config, checkpoint)}'
            )
        self.cache.check()

    def transform(self, results: dict) -> dict:
        """Add the teacher's outputs."""
        check_sample('LoadTeacher', results)
        kept = self.cache[results['img_id']]
        height, width = kept.size
        if (height, width) != tuple(results['ori_shape'][:2]):
            raise ValueError(
                f'{self.cache.path}: the teacher saw image {results["img_id"]!r} in {width} × {height} pixels, but the '
                f'image of the data set has {results["ori_shape"][1]} × {results["ori_shape"][0]}; its images have '
                'changed or are of another copy: write the cache again'
            )
        results['teacher'] = kept
        if kept.boxes is not None or kept.maps:
            boxes: list[np.ndarray] = [np.zeros((0, 4), np.float32) if kept.boxes is None else kept.boxes]
            scores = np.zeros(0, np.float32) if kept.scores is None else kept.scores
            if kept.maps:
                boxes.append(_CORNER_BOX)
            height, width = results['img'].shape[:2]
            add_boxes(results, np.concatenate(boxes) * np.array(image_frame(width, height), np.float32), scores)
        return results

    def _command(self, config: str, checkpoint: str | None) -> str:
        index = self.cache.index
        words = ['python', 'tools/cache_teacher.py', config, *([checkpoint] if checkpoint else [])]
        words += ['--out', self.cache.path, '--split', index['dataset']['split']]
        words += ['--layers', *(layer or 'backbone' for layer in index['layers'])] if index['layers'] else []
        words += ['--iou-threshold', index['regions']['iou_threshold'], '--num-regions', index['regions']['num']]
        return shlex.join(str(word) for word in (*words, '--force'))

    def __repr__(self) -> str:
        return f'LoadTeacher(cache={self.cache.path!r})'
