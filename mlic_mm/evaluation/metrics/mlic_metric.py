"""The multi-label metrics of a published protocol, for mmengine."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from mmengine.logging import print_log

from mlic_mm.registry import METRICS
from mlic_mm.utils.plain_text import plain_text

from ..functional import Protocol, evaluate_scores, get_protocol
from .collected_scores import SampleKey, name_sample
from .score_metric import ScoreMetric


@METRICS.register_module()
class MLICMetric(ScoreMetric):
    """mAP, precision, recall and F1 in percent, as :func:`mlic_mm.evaluation.evaluate_scores` computes them.

    The result depends neither on the order of the samples nor on the number of processes. The log names the protocol
    once, and names the classes without AUROC whenever they change.

    Args:
        preset: ``mlgcn, csra, srn, asl, q2l, wang, liu, guo, pedestrian`` or ``voc07``, or a protocol.
        per_class: Whether to add ``per_class``, a dictionary of lists.
        prefix: Text before the names of the metrics, with a ``/`` between.
        collect_device: How processes exchange results.
        **overrides: Options of :class:`mlic_mm.evaluation.Protocol` that differ from the preset.

    Raises:
        ValueError: A preset or an option is unknown. In a test: a score is NaN. The message names the image.

    Examples:
        >>> import torch
        >>> from mlic_mm.registry import METRICS
        >>> metric = METRICS.build(dict(type='mlic_mm.MLICMetric', preset='asl', threshold=0.75))
        >>> metric.process(None, [dict(pred_score=torch.tensor([0.9, 0.2]), gt_score=torch.tensor([1, 0]))])
        >>> metric.evaluate(1)['OF1']
        100.0
    """

    def __init__(
        self,
        preset: str | Protocol = 'mlgcn',
        per_class: bool = False,
        prefix: str | None = None,
        collect_device: Literal['cpu', 'gpu'] = 'cpu',
        **overrides: Any,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.protocol = get_protocol(preset, **overrides)
        self.per_class = per_class
        self._said: set[str] = set()

    def compute(
        self, scores: np.ndarray, targets: np.ndarray, keys: Sequence[SampleKey], classes: Sequence[str] | None
    ) -> dict:
        """Evaluate all samples."""
        if np.isnan(scores.max()):
            row = int(np.isnan(scores).any(axis=1).argmax())
            raise ValueError(f'scores of {name_sample(keys[row], row)} are NaN: did the training diverge?')
        figures = evaluate_scores(scores, targets, self.protocol, per_class=True, classes=classes)
        per_class = figures['per_class'] if self.per_class else figures.pop('per_class')
        self._say(f'{self.prefix or type(self).__name__}: protocol {self.protocol.title}')
        both = zip(per_class['names'], per_class['no_AUROC'], strict=True)
        lacking = [f'{plain_text(name)} ({why})' for name, why in both if why]
        if lacking:
            more = f' and {len(lacking) - 10} more' if len(lacking) > 10 else ''
            kept = len(per_class['names']) - len(lacking)
            self._say(
                f'AUROC is {f"the mean over {kept} classes" if kept else "not defined"}, without '
                f'{", ".join(lacking[:10])}{more}'
            )
        return figures

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            print_log(text, logger='current')
