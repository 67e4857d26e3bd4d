"""Write the scores of a test to a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from mmengine.logging import print_log

from mlic_mm.registry import METRICS

from ..scores.score_dump import ScoreDump, check_npz_name
from .collected_scores import SampleKey
from .score_metric import ScoreMetric


@METRICS.register_module()
class DumpScores(ScoreMetric):
    """Write scores, targets, image ids and paths of a test as a :class:`mlic_mm.evaluation.ScoreDump`.

    The name of an image is its ``img_id``. An image without one, or with that of another image, is named by its path,
    or else by its index in the data set (:func:`mlic_mm.evaluation.scores.image_names.distinct_ids`).

    Args:
        out_file: The ``.npz`` file. The main process writes it.
        overwrite: Whether to replace an existing file.
        collect_device: How processes exchange results.

    Raises:
        ValueError: The name does not end in ``.npz``.
        FileExistsError: The file exists and ``overwrite`` is False. This is raised before the test runs.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from mlic_mm.registry import METRICS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     metric = METRICS.build(dict(type='mlic_mm.DumpScores', out_file=f'{folder}/scores.npz'))
        ...     metric.process(None, [dict(pred_score=torch.rand(2), gt_score=torch.tensor([1, 0]), img_id='a')])
        ...     _ = metric.evaluate(1)
        ...     dump = ScoreDump.load(f'{folder}/scores.npz')
        >>> dump.image_ids.tolist(), dump.targets.tolist()
        (['a'], [[1, 0]])
    """

    def __init__(
        self, out_file: str | Path, overwrite: bool = False, collect_device: Literal['cpu', 'gpu'] = 'cpu'
    ) -> None:
        super().__init__(collect_device=collect_device)
        self.out_file = check_npz_name(out_file)
        if self.out_file.exists() and not overwrite:
            raise FileExistsError(f'{self.out_file} exists; name another file or set overwrite=True')

    def compute(
        self, scores: np.ndarray, targets: np.ndarray, keys: Sequence[SampleKey], classes: Sequence[str] | None
    ) -> dict:
        """Write the file. There are no metrics."""
        names = [str(i) for i in range(scores.shape[1])] if classes is None else classes
        ids = [
            str(next((value for value in (image_id, path, index) if value is not None), position))
            for position, (index, image_id, path) in enumerate(keys)
        ]
        paths = ['' if path is None else str(path) for _, _, path in keys]
        dump = ScoreDump(scores, targets, np.array(ids), np.array(paths), tuple(names))
        dump.with_distinct_ids().save(self.out_file)
        print_log(f'Scores of {len(ids)} images written to {self.out_file}', logger='current')
        return {}
