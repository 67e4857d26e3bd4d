"""Put the proposals of a sample beside its image."""

import numpy as np
from mmcv.transforms import BaseTransform

from mlic_mm.datasets.proposal_file import ProposalFile
from mlic_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Read the best ``num`` proposals of a sample, after :class:`~mlic_mm.datasets.transforms.LoadImage`.

    They become ``gt_bboxes``, which mmcv's ``Resize``, ``RandomChoiceResize``, ``RandomFlip`` and ``CenterCrop`` move
    with the image; :class:`~mlic_mm.datasets.transforms.PackProposals` makes them ``proposals`` of the data sample, and
    refuses those that a transform has left behind. An image without proposals gets one, the whole image, with the
    median over the file's images of their best score: its features enter a teacher at the same scale as others.

    Paper: section 4.1; fewer than 500 proposals are recycled, the best first. Here: the same.

    Required keys: ``img``, ``ori_shape``, ``img_id``. Added keys: ``gt_bboxes`` float32 ``(R + 1, 4)`` in pixels of
    ``img``, whose last row is the whole image and tells later where it went, and ``proposal_scores`` float32 ``(R,)``.

    Args:
        file (str): Of ``tools/generate_proposals.py``.
        num (int): Most proposals; the paper trains with 500. Defaults to 500.
        fill (str): An image with fewer: ``'recycle'`` repeats them in order, so that all samples have ``num``;
            ``'keep'`` leaves it at those. Defaults to ``'recycle'``.
        dataset (str, optional): Type of the data set that the file must be of, ``'VOCMultiLabel'``. Defaults to None:
            ids and image sizes have to match, which nearly always tells data sets apart.

    Raises:
        FileNotFoundError: The file is missing.
        ValueError: An option is out of range, or the file is damaged or of another data set. On a sample: the file has
            no such image or had it in another size, or the sample has boxes already.
    """

    def __init__(self, file: str, num: int = 500, fill: str = 'recycle', dataset: str | None = None) -> None:
        if num < 1:
            raise ValueError(f'LoadProposals: num={num} must be at least 1')
        if fill not in ('recycle', 'keep'):
            raise ValueError(f"LoadProposals: fill={fill!r} must be 'recycle' or 'keep'")
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
        add_boxes(results, boxes, scores)
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
    """Raise ValueError where a sample lacks what the boxes of transform ``kind`` need, or has boxes already."""
    for key in ('img', 'ori_shape', 'img_id'):
        if key not in results:
            raise ValueError(
                f'{kind}: the sample {results.get("img_path", "")} has no {key!r}; put it after mlic_mm.LoadImage, in '
                'a data set of mlic_mm'
            )
    if 'gt_bboxes' in results:
        raise ValueError(f'{kind}: the sample {results["img_id"]!r} has gt_bboxes already; load only one')


def add_boxes(results: dict, boxes: np.ndarray, scores: np.ndarray) -> None:
    """Add boxes ``(R, 4)`` in pixels of ``img``, the frame as their last row, and scores."""
    height, width = results['img'].shape[:2]
    frame = np.array([[0, 0, width, height]], np.float32)
    results['gt_bboxes'] = np.concatenate([boxes, frame])
    results['proposal_scores'] = scores
