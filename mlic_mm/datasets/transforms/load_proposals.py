"""Read the proposals of a sample."""

from typing import Literal

import numpy as np
from mmcv.transforms import BaseTransform

from mlic_mm.datasets.proposals.proposal_file import ProposalFile
from mlic_mm.registry import TRANSFORMS
from mlic_mm.utils.choices import check_choice, check_range

from .instances import box_array

PROPOSAL, CORNER, FRAME = -1, -2, -3
"""``gt_bboxes_labels`` of the rows of ``gt_bboxes`` that are no objects. A corner and the frame of the image later show
how transforms have changed the image."""


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Read the best ``num`` proposals of a sample, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    The proposals become rows of ``gt_bboxes``, behind the objects if ``LoadAnnotations`` has loaded some. mmcv's
    ``Resize``, ``RandomChoiceResize``, ``RandomFlip`` and ``CenterCrop`` move them with the image.
    :class:`~mlic_mm.datasets.transforms.PackProposals` then makes them ``proposals`` of the data sample, and refuses
    boxes that a transform did not move. If an image has no proposals, the whole image becomes
    its only proposal. Its score is the median, over the images of the file, of their best scores, so that its features
    enter a teacher at the same scale as others.

    Paper: `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), section 4.1: fewer than 500
    proposals are recycled, the best first. Here: the same.

    Required keys: ``img``, ``ori_shape``, ``img_id``. Changed keys: ``gt_bboxes`` has R + 1 rows more, in pixels of
    ``img``, and so has ``gt_bboxes_labels``. The last row is the whole image. It later shows how the image was
    transformed. Added keys: ``proposal_scores`` float32 ``(R,)``, and ``with_objects``.

    Args:
        file: A file of ``tools/generate_proposals.py``.
        num: The largest number of proposals. The paper trains with 500.
        fill: What to do with an image that has fewer. ``'recycle'`` repeats them in order, so that all samples have
            ``num``. ``'keep'`` repeats none.
        dataset: Type of the data set that the file must be of, such as ``'VOCMultiLabel'``. Defaults to None: ids and
            image sizes must match, which nearly always tells data sets apart.

    Raises:
        FileNotFoundError: The file is missing.
        ValueError: An option is out of range, or the file is damaged or of another data set. In the pipeline: the file
            has no such image, or the image had another size, or the sample has proposals already.

    Examples:
        >>> import tempfile
        >>> from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
        >>> from mlic_mm.registry import TRANSFORMS
        >>> boxes, scores = np.array([[0, 0, 40, 30], [10, 10, 20, 20]]), np.array([0.75, 0.5])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = f'{folder}/proposals.st'
        ...     write_proposal_file(file, [('a', (60, 80), boxes, scores)], dict(type='drawn'), dict(type='drawn'))
        ...     load = TRANSFORMS.build(dict(type='mlic_mm.LoadProposals', file=file, num=3))
        ...     sample = load(dict(img=np.zeros((60, 80, 3), np.uint8), ori_shape=(60, 80), img_id='a'))
        >>> sample['gt_bboxes'].shape, sample['proposal_scores'].tolist()
        ((4, 4), [0.75, 0.5, 0.75])
    """

    def __init__(
        self, file: str, num: int = 500, fill: Literal['recycle', 'keep'] = 'recycle', dataset: str | None = None
    ) -> None:
        check_range('num', num, at_least=1, whole=True)
        check_choice('fill', fill, ('recycle', 'keep'))
        self.file = ProposalFile(file, dataset)
        self.file.verify()
        self.num = num
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Add ``gt_bboxes`` and ``proposal_scores``."""
        check_sample('LoadProposals', results)
        height, width = results['img'].shape[:2]
        boxes, scores = self.file.read(results['img_id'], (height, width), self.num, results['ori_shape'][:2])
        if not len(boxes):
            boxes = np.array([[0, 0, width, height]], np.float32)
            scores = np.array([self.file.metadata['fallback_score']], np.float32)
        if self.fill == 'recycle':
            boxes, scores = recycle(boxes, scores, self.num)
        add_proposals('LoadProposals', results, boxes, scores)
        add_rows(results, np.array([[0, 0, width, height]], np.float32), FRAME)
        return results

    def __repr__(self) -> str:
        return (
            f'LoadProposals(file={self.file.path!r}, num={self.num}, fill={self.fill!r}, dataset={self.file.dataset!r})'
        )


def recycle(boxes: np.ndarray, scores: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat boxes ``(R, 4)`` and scores ``(R,)`` in order until there are ``num``."""
    order = np.arange(num) % len(boxes)
    return boxes[order], scores[order]


def check_sample(kind: str, results: dict) -> None:
    """Refuse a sample that lacks what the transform ``kind`` needs.

    Raises:
        ValueError: Names the sample and the transform.
    """
    for key in ('img', 'ori_shape', 'img_id'):
        if key not in results:
            raise ValueError(
                f'{kind}: the sample {results.get("img_path", "")} has no {key!r}; put it after mlic_mm.LoadImage, in '
                'a data set of mlic_mm'
            )
    if results.get('gt_bboxes') is not None and results.get('gt_bboxes_labels') is None:
        raise ValueError(
            f'{kind}: the sample {results["img_id"]!r} has gt_bboxes without gt_bboxes_labels; leave with_label of '
            'LoadAnnotations at True'
        )


def add_proposals(kind: str, results: dict, boxes: np.ndarray, scores: np.ndarray) -> None:
    """Add proposals ``(R, 4)`` in pixels of ``img``, and their scores ``(R,)``.

    Raises:
        ValueError: The sample has proposals already. The message begins with the transform ``kind``.
    """
    if 'proposal_scores' in results:
        raise ValueError(f'{kind}: the sample {results["img_id"]!r} has proposals already; load only one kind')
    add_rows(results, boxes, PROPOSAL)
    results['proposal_scores'] = scores


def add_rows(results: dict, rows: np.ndarray, label: int) -> None:
    """Append ``rows`` ``(R, 4)`` to ``gt_bboxes``, and R times ``label`` to ``gt_bboxes_labels``.

    The transforms of mmcv and mmdet then move the rows with the image. Before the first row, the key ``with_objects``
    keeps whether ``LoadAnnotations`` has loaded objects.
    """
    results.setdefault('with_objects', results.get('gt_bboxes') is not None)
    added = dict(gt_bboxes=rows, gt_bboxes_labels=np.full(len(rows), label))
    if results.get('gt_ignore_flags') is not None:  # of mmdet's LoadAnnotations
        added['gt_ignore_flags'] = np.zeros(len(rows), bool)
    for key, values in added.items():
        before = results.get(key)
        results[key] = values if before is None else np.concatenate([box_array(before), values])
