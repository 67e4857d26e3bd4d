"""The multi-label figures of a published protocol as a metric of mmengine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlic_mm.registry import METRICS

from ..functional import evaluate_scores, get_protocol
from .collected_scores import SampleKey, name_sample
from .score_metric import ScoreMetric


@METRICS.register_module()
class MLICMetric(ScoreMetric):
    """mAP, precision, recall and F1 in percent, as :func:`mlic_mm.evaluation.evaluate_scores` gives them.

    The result depends neither on the order of the samples nor on how many processes collected them.

    Args:
        preset (str): ``mlgcn, srn, asl, q2l, wang, liu, guo, pedestrian`` or ``voc07``.
        per_class (bool): Add ``per_class``, a dictionary of lists.
        prefix (str | None): Put before the names as ``prefix/``.
        collect_device (str): ``'cpu'`` or ``'gpu'``.
        **overrides: Options of :class:`mlic_mm.evaluation.Protocol` that differ from the preset.

    Raises:
        ValueError: Unknown preset or option, when built; NaN scores (naming the image), when evaluated.

    Example:
        >>> val_evaluator = dict(type='mlic_mm.MLICMetric', preset='asl', threshold=0.75)
    """

    def __init__(
        self,
        preset: str = 'mlgcn',
        per_class: bool = False,
        prefix: str | None = None,
        collect_device: str = 'cpu',
        **overrides: Any,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.protocol = get_protocol(preset, **overrides)
        self.per_class = per_class

    def compute(
        self, scores: np.ndarray, targets: np.ndarray, keys: Sequence[SampleKey], classes: Sequence[str] | None
    ) -> dict:
        """Evaluate all samples."""
        if np.isnan(scores.max()):
            row = int(np.isnan(scores).any(axis=1).argmax())
            raise ValueError(f'scores of {name_sample(keys[row], row)} are NaN: did the training diverge?')
        return evaluate_scores(scores, targets, self.protocol, per_class=self.per_class, classes=classes)
