"""Scores to disk at the end of a test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mlic_mm.registry import METRICS

from ..scores.score_dump import ScoreDump, check_npz_name
from .collected_scores import SampleKey
from .score_metric import ScoreMetric


@METRICS.register_module()
class DumpScores(ScoreMetric):
    """Writes scores, targets, image ids and paths of a test as :class:`mlic_mm.evaluation.ScoreDump`.

    An image without ``img_id`` is named by its path, or else by its index in the data set; so are those whose
    ``img_id`` is the same (:func:`mlic_mm.evaluation.scores.image_names.distinct_ids`).

    Args:
        out_file (str | Path): ``.npz`` file to write, by the main process.
        overwrite (bool): Replace a file that is there.
        collect_device (str): ``'cpu'`` or ``'gpu'``.

    Raises:
        ValueError: The name does not end in ``.npz``.
        FileExistsError: The file is there and ``overwrite`` is False: said when built, before the test runs.
    """

    def __init__(self, out_file: str | Path, overwrite: bool = False, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.out_file = check_npz_name(out_file)
        if self.out_file.exists() and not overwrite:
            raise FileExistsError(f'{self.out_file} exists: name another file or set overwrite=True')

    def compute(
        self, scores: np.ndarray, targets: np.ndarray, keys: Sequence[SampleKey], classes: Sequence[str] | None
    ) -> dict:
        """Write the file; there are no figures."""
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
