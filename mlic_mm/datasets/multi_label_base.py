"""Base of all data sets: complete samples, checked labels, and the policy for unreadable images."""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import MultiLabelDataset

from mlic_mm.utils.label_names import empty_error
from mlic_mm.utils.targets import target_rows

from .missing_images import OnMissing, find_in_folders, report_missing
from .transforms.load_image import LoadImage


class MultiLabelBase(MultiLabelDataset):
    """Base of the multi-label data sets.

    A sample (:meth:`get_data_info`) always has ``img_path``, ``img_id`` (str, unique in the data set), ``gt_label``
    (sorted list of the labels that are present) and ``gt_score``, float32 ``(C,)``: 1 present, 0 absent, −1 ignored.
    ``gt_score`` is built from two short lists on demand, so that memory grows with the labels in the images and not
    with C.

    If :class:`~mlic_mm.datasets.transforms.LoadImage` has ``on_error='skip'``, the data set reads all images once when
    it is built and leaves the unreadable ones out, in training and in testing. So every process keeps the same samples,
    an epoch has a known length, and no image is replaced by another one. The same pass fills the cache of
    ``LoadImage``, before the loader forks its workers, so that they share it.

    Attributes:
        skipped: Path of every unreadable image, and why it was left out.
        missing: Listed images that were left out because they do not exist, in the data sets with ``on_missing``.
    """

    LAYOUT = ''
    """The folders and files that the data set expects, and where to get them. ``{root}`` stands for the data root."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.skipped: dict[str, str] = {}
        self.missing: tuple[str, ...] = ()
        super().__init__(*args, **kwargs)

    def get_data_info(self, idx: int) -> dict:
        """Return sample ``idx`` with its ``gt_score`` ``(C,)``."""
        info = super().get_data_info(idx)
        score = np.zeros(len(self._metainfo['classes']), dtype=np.float32)
        score[info['gt_label']] = 1
        score[info.pop('ignored_label')] = -1
        info['gt_score'] = score
        return info

    def targets(self) -> np.ndarray:
        """Return the labels of all images, int8 ``(N, C)``: 1 present, 0 absent, −1 ignored."""
        return target_rows(self)

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        if not self.data_list:
            raise empty_error(self)
        return super()._serialize_data()

    def filter_data(self) -> list[dict]:
        """Read all images if ``LoadImage`` asks for it, and leave the unreadable ones out.

        Raises:
            ValueError: The pipeline loads boxes, but the data set does not read them. Or it crops or turns images
                for which it loads a cached teacher, which has seen other ones.
        """
        kinds = [type(step).__name__ for step in self.pipeline.transforms]
        if 'LoadAnnotations' in kinds and self.data_list and 'instances' not in self.data_list[0]:
            raise ValueError('the pipeline has LoadAnnotations, but boxes are not read: set with_boxes=True')
        if 'LoadTeacher' in kinds:
            at = kinds.index('LoadTeacher')
            # A CropBox before it may be what the teacher saw as well. The repr of a step shows the steps inside it.
            shown = [repr(step) for i, step in enumerate(self.pipeline.transforms) if i > at or kinds[i] != 'CropBox']
            if step := re.search(r'\w*(Crop|Rotat|Shear|Translate|Affine|Perspective)\w*(?=\()', ' '.join(shown)):
                raise ValueError(
                    f'the pipeline has {step[0]} and LoadTeacher, but the cached teacher has not seen the images that '
                    f'it makes: leave {step[0]} out, or set the teacher of mlic_mm.Distillation instead of LoadTeacher'
                )
        loaders = [t for t in self.pipeline.transforms if isinstance(t, LoadImage)]
        loader = next((t for t in loaders if t.on_error == 'skip' or t.cache_mb), None)
        if loader is None:
            return self.data_list
        # Several samples may share a photograph.
        paths = list(dict.fromkeys(info['img_path'] for info in self.data_list))
        print_log(f'{type(self).__name__}: reading {len(paths)} images once ({loader})', logger='current')
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            reasons = list(pool.map(loader.check, paths))
        self.skipped = {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}
        if self.skipped and len(self.skipped) == len(paths):
            raise FileNotFoundError(f'none of the {len(paths)} images can be read; the first: {reasons[0]}')
        if self.skipped:
            print_log(self.skip_report(), logger='current', level=30)
        return [info for info in self.data_list if info['img_path'] not in self.skipped]

    def skip_report(self) -> str:
        """Return how many images were left out, and the first ten reasons."""
        reasons = list(self.skipped.values())
        more = [f'… and {len(reasons) - 10} more'] if len(reasons) > 10 else []
        head = f'{type(self).__name__}: {len(reasons)} unreadable images left out'
        return '\n  '.join([head, *reasons[:10], *more])

    def require(self, path: str) -> None:
        """Check that ``path`` exists.

        Raises:
            FileNotFoundError: It does not. The message shows the expected layout and where to get the data.
        """
        if not os.path.exists(path):
            layout = self.LAYOUT.format(root=self.data_root or '.')
            raise FileNotFoundError(f'{path} not found.\n{layout}'.rstrip())

    def find_listed(self, names: Sequence[str], folders: Sequence[str], on_missing: OnMissing) -> list[str | None]:
        """Return the path of every listed image, None for one to leave out. ``missing`` gets the names of those.

        Args:
            names: Paths with ``/`` below one of ``folders``.
            folders: Where archives unpack the images, below ``img_prefix``, see :func:`find_in_folders`.
            on_missing: What to do about images that do not exist.

        Raises:
            FileNotFoundError: All images are missing, or some are missing under ``'raise'``. The message shows the
                layout.
        """
        root = self.img_prefix or '.'
        if on_missing == 'keep':
            return [os.path.join(root, name) for name in names]
        self.require(root)
        paths = find_in_folders(root, folders, names)
        layout = self.LAYOUT.format(root=self.data_root or '.')
        self.missing = report_missing(root, names, paths, on_missing, layout)
        return paths

    @staticmethod
    def make_info(
        img_path: str,
        img_id: str,
        labels: Iterable[int],
        ignored: Iterable[int] = (),
        instances: Sequence[dict] | None = None,
    ) -> dict:
        """Return the stored form of a sample. A label that is both present and ignored is present."""
        positive = sorted(set(labels))
        info = dict(
            img_path=img_path, img_id=img_id, gt_label=positive, ignored_label=sorted(set(ignored) - set(positive))
        )
        if instances is not None:
            info['instances'] = list(instances)
        return info
