"""How far maps are from moving as the image is moved."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mlic_mm.registry import METRICS


@METRICS.register_module()
class AttentionInconsistency(BaseMetric):
    """Attention inconsistency under each transform (attention consistency, Table 2), lower is better.

    ``inconsistency_<view>`` is Eq. 5 over the images tested: the mean square of the difference between the moved maps
    of an image and the maps of its view, in squared logits. It falls also where maps merely shrink.
    ``relative_inconsistency_<view>`` asks whether they look at the same places: the same of maps less their means over
    places, divided by their mean variance. 0 is perfect, unrelated maps have 2, one the negative of the other 4.

    Needs :class:`AttentionConsistencyClassifier` with ``test_cfg=dict(inconsistency=True)``, which also takes the
    weights of an ``ImageClassifier``.

    Args:
        collect_device (str): ``'cpu'`` or ``'gpu'``: how processes exchange results.
        prefix (str | None): Put before the names of the figures as ``prefix/``; none by default.
    """

    default_prefix = ''  # None would log a warning

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what the model measured.

        Raises:
            ValueError: It measured nothing.
        """
        for sample in data_samples:
            if 'attention_inconsistency' not in sample:
                raise ValueError(
                    'AttentionInconsistency: the model measures nothing; set '
                    "model.type='mlic_mm.AttentionConsistencyClassifier' and model.test_cfg=dict(inconsistency=True)"
                )
            self.results.append(sample['attention_inconsistency'])

    def compute_metrics(self, results: list[dict[str, list[float]]]) -> dict[str, float]:
        """Return both figures of every view."""
        figures = {}
        for view in results[0]:
            distance, pattern, spread = np.array([result[view] for result in results]).mean(0).tolist()
            figures[f'inconsistency_{view}'] = distance
            figures[f'relative_inconsistency_{view}'] = pattern / spread if spread else float('nan')
        return figures
