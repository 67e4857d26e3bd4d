"""Read the outputs of a teacher for a sample."""

import shlex

import numpy as np
from mmcv.transforms import BaseTransform

from mlic_mm.datasets.teacher_cache.cache import TeacherCache
from mlic_mm.datasets.teacher_cache.fingerprint import teacher_fingerprint
from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.boxes import image_frame

from .load_proposals import CORNER, FRAME, add_proposals, add_rows, check_sample

CORNER_SIDE = 0.25
"""The corner in ``gt_bboxes`` is this part of width and height, from the top left."""
_CORNER_BOX = np.array([[0, 0, CORNER_SIDE, CORNER_SIDE]], np.float32)


@TRANSFORMS.register_module()
class LoadTeacher(BaseTransform):
    """Read the outputs of a teacher from a cache, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    The transform replaces :class:`~mlic_mm.datasets.transforms.LoadProposals` in the pipeline of a student. The regions
    that the teacher kept become rows of ``gt_bboxes`` and move with the image in the same way. Their :math:`s'` becomes
    ``proposal_scores``. When the transform is built, it compares the cache with the config and the checkpoint of the
    teacher. The teacher itself is not loaded.

    The teacher saw the whole image, not flipped. Its logits are used for the flipped image as well. Regions and maps
    are moved. What the teacher would say about a crop is not known. So a crop is an error, in
    :class:`~mlic_mm.datasets.transforms.PackProposals` and in the data sets of mlic_mm, which look for it in their
    pipeline when they are built.

    Added keys: ``teacher``, a :class:`~mlic_mm.datasets.teacher_cache.CachedTeacher`, ``with_objects`` and, if the
    teacher has regions, ``proposal_scores``. Changed keys: ``gt_bboxes`` and ``gt_bboxes_labels`` have rows for the
    regions, a corner of the image and the whole image.

    Args:
        cache: A folder of ``tools/cache_teacher.py``.
        config: Config of the teacher.
        checkpoint: Checkpoint of the teacher, None if the model of the config names its weights.

    Attributes:
        classes: Label names of the cache.

    Raises:
        FileNotFoundError: The cache, the config, the checkpoint or the proposal file of the teacher is missing.
        ValueError: A part of the cache is truncated, or the cache is stale. The message names what has changed, and the
            command that writes the cache again. In the pipeline: the cache has no such image, or the image had another
            size.

    Examples:
        >>> import pathlib, tempfile
        >>> from mlic_mm.datasets.teacher_cache.cache import CachedTeacher
        >>> from mlic_mm.datasets.teacher_cache.writer import TeacherShards
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config, cache = f'{folder}/teacher.py', f'{folder}/cache'
        ...     data = dict(dataset=dict(pipeline=[dict(type='mlic_mm.LoadImage')]))
        ...     _ = pathlib.Path(config).write_text(f"model = dict(type='X')\\ntest_dataloader = {data}")
        ...     teacher = dict(fingerprint=teacher_fingerprint(config), classes=['cat'], layers=[], regions={})
        ...     shards = TeacherShards(cache, dict(teacher, dataset={}), ['a'])
        ...     shards.begin()
        ...     _ = shards.write(0, {'a': CachedTeacher((60, 80), np.array([1.5]), None, None, None, None, {})})
        ...     load = TRANSFORMS.build(dict(type='mlic_mm.LoadTeacher', cache=cache, config=config))
        ...     sample = load(dict(img=np.zeros((60, 80, 3), np.uint8), ori_shape=(60, 80), img_id='a'))
        >>> sample['teacher'].logits
        array([1.5], dtype=float32)
    """

    def __init__(self, cache: str, config: str, checkpoint: str | None = None) -> None:
        self.cache = TeacherCache(cache)
        self.classes = self.cache.classes
        now = teacher_fingerprint(config, checkpoint)
        if stale := [part for part in now if now[part] != self.cache.fingerprint.get(part)]:
            raise ValueError(
                f'{self.cache.path} is stale: {" and ".join(stale)} of the teacher {config} {checkpoint or ""} '
                f'differ from those that it was written with. Write it again: {self._command(config, checkpoint)}'
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
        height, width = results['img'].shape[:2]
        frame = np.array([image_frame(width, height)], np.float32)
        if kept.boxes is not None and kept.scores is not None:
            add_proposals('LoadTeacher', results, kept.boxes * frame, kept.scores)
        add_rows(results, _CORNER_BOX * frame, CORNER)
        add_rows(results, np.array([[0, 0, width, height]], np.float32), FRAME)
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
